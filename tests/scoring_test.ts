// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Multiple choice on a real model, dense and quantized: the answers are the same bits whatever is
 * computed at the same time.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { openCpu } from "../kernels/cpu/device.ts";
import { openWebgpu } from "../kernels/webgpu/adapter.ts";
import { Tokenizer } from "../pipeline/data/tokenizer.ts";
import { ModelRequests } from "../pipeline/evaluation/requests/model_requests.ts";
import type {
  LogLikelihood,
  LogLikelihoodRequest,
} from "../pipeline/evaluation/requests/request.ts";
import type { HostWeight } from "../pipeline/formats/host_weight.ts";
import { modelLinears } from "../pipeline/models/architecture.ts";
import {
  type LanguageModel,
  loadLanguageModel,
  type ModelSource,
} from "../pipeline/models/language_model.ts";
import { ModelFolder } from "../pipeline/models/model_folder.ts";
import { type ModuleFormat, moduleFormat } from "../pipeline/models/quantized_tensors.ts";
import { nf4 } from "../pipeline/quantizers/nf4.ts";
import { rtn } from "../pipeline/quantizers/rtn.ts";
import { NO_TEST_DATA, TEST_DATA, testUnless } from "./support/optional.ts";

const FOLDER = join(TEST_DATA, "models/tinystories-656k");

/** Sentences of stories as questions, each with the same four endings of its own and others. */
function questions(count: number): LogLikelihoodRequest[] {
  const stories = Deno.readTextFileSync(join(TEST_DATA, "text/tinystories/stories.txt"))
    .split("\n").filter((line) => line.length > 150).slice(0, count);
  const endings = stories.map((story) => ` ${story.slice(90, 90 + story.length % 60)}`);
  return stories.flatMap((story, index) =>
    [0, 1, 2, 3].map((choice) => ({
      context: story.slice(0, 90 - index % 40).trim(),
      continuation: endings[(index + choice) % count]!,
    }))
  );
}

/** A model folder with quantized linear layers. */
async function quantized(
  folder: ModelFolder,
  quantize: (weight: Float32Array, rows: number, columns: number, path: string) => HostWeight,
): Promise<ModelSource> {
  const weights = new Map<string, HostWeight>();
  const formats = new Map<string, ModuleFormat | null>();
  for (const linear of modelLinears(folder.config)) {
    const weight = await folder.weight(linear);
    if (weight.format !== "dense") throw new TypeError("the model is not quantized");
    const codes = quantize(weight.values, linear.rows, linear.columns, linear.path);
    weights.set(linear.path, codes);
    formats.set(linear.path, moduleFormat(codes));
  }
  return {
    config: folder.config,
    moduleFormat: (path) => formats.get(path) ?? null,
    floats: (name) => folder.floats(name),
    weight: ({ path }) => Promise.resolve(weights.get(path)!),
  };
}

const SOURCES: Readonly<Record<string, (folder: ModelFolder) => Promise<ModelSource>>> = {
  dense: (folder) => Promise.resolve(folder),
  "4 bits": (folder) =>
    quantized(folder, (weight, rows, columns, path) =>
      rtn.quantize(weight, rows, columns, {
        ...{ method: "rtn", bits: 4, group_size: 32, block_rows: 1, symmetric: false },
      }, path)),
  nf4: (folder) =>
    quantized(
      folder,
      (weight, rows, columns, path) =>
        nf4.quantize(weight, rows, columns, { method: "nf4", double_quantization: true }, path),
    ),
};

async function answers(
  model: LanguageModel,
  requests: readonly LogLikelihoodRequest[],
  batchSize: number,
): Promise<LogLikelihood[]> {
  const tokenizer = Tokenizer.open(FOLDER);
  const list: LogLikelihood[] = [];
  const asked = new ModelRequests(model, tokenizer, { batchSize });
  for await (const { index, value } of asked.logLikelihoods(requests)) list[index] = value;
  return list;
}

for (const [name, sourceOf] of Object.entries(SOURCES)) {
  testUnless(
    NO_TEST_DATA,
    `tinystories-656k, ${name}: any batch size gives the same log-likelihoods, bit by bit`,
    async () => {
      const requests = questions(12);
      for (const open of [() => openCpu(), openWebgpu]) {
        const device = await open();
        using folder = ModelFolder.open(FOLDER);
        const model = await loadLanguageModel(device, await sourceOf(folder));
        const expected = await answers(model, requests, 8);
        assert.equal(expected.length, requests.length);
        for (const batchSize of [1, 3]) {
          assert.deepEqual(await answers(model, requests, batchSize), expected, device.info.name);
        }
        for (const index of [0, 22, 47]) {
          const alone = await answers(model, [requests[index]!], 1);
          assert.deepEqual(alone, [expected[index]], `${device.info.name}: request ${index} alone`);
        }
        device.close();
      }
    },
  );
}
