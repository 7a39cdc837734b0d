/**
 * Small models with quantized bases, for tests of initializers that train a model.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import type { Device, IntegerBits } from "../../../kernels/device.ts";
import { RandomStream } from "../../../kernels/random.ts";
import { ReferenceDevice } from "../../../kernels/reference/device.ts";
import { HiddenStates } from "../../calibration/hidden_states.ts";
import { planAdapter } from "../../adapters/plan.ts";
import type { HostWeight } from "../../formats/host_weight.ts";
import type { Progress } from "../../graph/stage.ts";
import { LINEAR_NAMES, type LinearName, modelLinears } from "../../models/architecture.ts";
import { parseConfig } from "../../models/config.ts";
import type { ModelSource } from "../../models/language_model.ts";
import { type ModuleFormat, moduleFormat } from "../../models/quantized_tensors.ts";
import { RandomModel } from "../../models/random_model.ts";
import { rtn } from "../../quantizers/rtn.ts";
import type { ModelInitialization } from "../model_initializer.ts";

/** What a test may choose. */
export interface RunOptions {
  readonly device?: Device;
  /** Fields of `config.json`. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly bits?: Exclude<IntegerBits, 1>;
  readonly groupSize?: number;
  readonly form?: string;
  readonly rank?: number;
  readonly alpha?: number;
  readonly targets?: readonly LinearName[];
  readonly samples?: number;
  readonly length?: number;
  /** Instead of a random one. */
  readonly original?: ModelSource;
  /** Instead of the original in INT2. */
  readonly base?: ModelSource;
  readonly windows?: Uint32Array;
  readonly signal?: AbortSignal;
}

/** A run and what it said. */
export interface TestRun extends ModelInitialization {
  /** Weights that replace the base's, by path. */
  readonly replaced: Map<string, HostWeight>;
  /** Scratch files by name, the last of each name; some are disposed of. */
  readonly files: ReadonlyMap<string, HiddenStates>;
  readonly lines: string[];
  readonly reports: Progress[];
}

const CONFIG = {
  model_type: "llama",
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 32,
  max_position_embeddings: 16,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
};

/** The model of tests, with weights large enough that blocks change what they pass on. */
export function smallModel(config: Readonly<Record<string, unknown>> = {}): ModelSource {
  const random = new RandomModel(parseConfig({ ...CONFIG, ...config }, "test model"), 5, 0.3);
  return {
    config: random.config,
    moduleFormat: () => null,
    weight: (linear) => random.weight(linear),
    floats: async (name) => {
      const values = await random.floats(name);
      return name.endsWith(".bias") || name.endsWith("norm.weight")
        ? values.map((value, index) => value + 0.3 * Math.sin(index + name.length))
        : values;
    },
  };
}

/** A model whose linear layers are exchanged. */
export function withWeights(
  source: ModelSource,
  weights: ReadonlyMap<string, HostWeight>,
): ModelSource {
  return {
    config: source.config,
    floats: (name) => source.floats(name),
    moduleFormat: (path): ModuleFormat | null => {
      const weight = weights.get(path);
      return weight === undefined ? source.moduleFormat(path) : moduleFormat(weight);
    },
    weight: (linear) => {
      const weight = weights.get(linear.path);
      return weight === undefined ? source.weight(linear) : Promise.resolve(weight);
    },
  };
}

/** A model with all layers rounded to nearest. */
export async function rounded(
  source: ModelSource,
  bits: Exclude<IntegerBits, 1>,
  groupSize: number,
): Promise<ModelSource> {
  const weights = new Map<string, HostWeight>();
  const parameters = { method: "rtn" as const, bits, group_size: groupSize, block_rows: 1 };
  for (const linear of modelLinears(source.config)) {
    const { path, rows, columns } = linear;
    const weight = await source.weight(linear);
    assert(weight.format === "dense");
    weights.set(
      path,
      rtn.quantize(weight.values, rows, columns, { ...parameters, symmetric: false }, path),
    );
  }
  return withWeights(source, weights);
}

/** Calls `test` with a run in a folder that is empty before and after. */
export async function withRun<Result>(
  options: RunOptions,
  test: (run: TestRun) => Promise<Result>,
): Promise<Result> {
  const { bits = 2, groupSize = 8, form = "lora", rank = 2, alpha = 2 } = options;
  const { samples = 6, length = 8, targets = LINEAR_NAMES } = options;
  const device = options.device ?? new ReferenceDevice();
  const original = options.original ?? smallModel(options.config);
  const base = options.base ?? await rounded(original, bits, groupSize);
  const shapes = modelLinears(original.config).flatMap((linear) => {
    const shape = planAdapter(
      {
        form,
        rank,
        alpha,
        lambda: 2,
        pooling: "average",
        rankStabilized: false,
        budget: null,
        targets,
      },
      linear,
      { rows: 1, columns: groupSize },
    );
    return shape === null ? [] : [[linear.path, { linear, shape }] as const];
  });
  const folder = await Deno.makeTempDir({ prefix: "equipoise-test-" });
  const files = new Map<string, HiddenStates>();
  const replaced = new Map<string, HostWeight>();
  const lines: string[] = [];
  const reports: Progress[] = [];
  const tokens = new RandomStream(7, "tokens");
  try {
    return await test({
      device,
      original,
      base,
      targets: new Map(shapes),
      shape: { samples, length, batchSize: 1 },
      windows: options.windows ?? Uint32Array.from(
        { length: samples * length },
        (_, index) => Math.floor(tokens.uniform(index) ** 2 * original.config.vocabSize),
      ),
      seed: 3,
      scratch: (name, size) => {
        const states = new HiddenStates(join(folder, name), device, size);
        files.set(name, states);
        return states;
      },
      files,
      signal: options.signal ?? new AbortController().signal,
      report: (progress) => reports.push(progress),
      log: (line) => lines.push(line),
      replaceBase: ({ path }, weight) => {
        assert(!replaced.has(path), `${path} is replaced twice`);
        replaced.set(path, weight);
      },
      replaced,
      lines,
      reports,
    });
  } finally {
    const left = [...Deno.readDirSync(folder)].map(({ name }) => name);
    await Deno.remove(folder, { recursive: true });
    assert.deepEqual(left, []);
    if (options.device === undefined) device.close();
  }
}

/** All values in a scratch file, as they are now. */
export function valuesIn({ files, shape: { samples } }: TestRun, name: string): Float64Array {
  const states = files.get(name);
  if (states === undefined) throw new RangeError(`There is no file ${name}`);
  return Float64Array.from(
    Array.from({ length: samples }, (_, window) => [...states.read(window)]).flat(),
  );
}
