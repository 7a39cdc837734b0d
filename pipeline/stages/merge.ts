/**
 * `merge`: one model out of a base and its adapter, and the proof that it is the same model.
 *
 * @module
 */

import { z } from "zod";
import { formNamed } from "../adapters/forms.ts";
import { mergeIntoDense, mergeIntoZeros, zeroMovement } from "../adapters/merge.ts";
import { collectGarbage } from "../environment/garbage.ts";
import { UserError } from "../errors.ts";
import type { Stage, StageContext, StageOutcome } from "../graph/stage.ts";
import { modelLinears } from "../models/architecture.ts";
import { ModelFolder } from "../models/model_folder.ts";
import {
  copyPlainTensors,
  ModelWriter,
  plainOutlines,
  TORCH_DTYPES,
  WEIGHT_DTYPES,
} from "../models/model_writer.ts";
import { formatBytes, weightOutlines, weightTensors } from "../models/quantized_tensors.ts";
import { dequantizeHost, type HostWeight } from "../formats/host_weight.ts";
import { compareModels, rehearseComparison } from "./compare_models.ts";
import { adapterBytes, inputOutline, plainOutline } from "./outline.ts";
import { PROBE_TOKENS, readProbe } from "./probe.ts";
import { openTrainedModel, type TrainedModel } from "./trained_model.ts";

const parameters = z.strictObject({
  dtype: z.enum(["f16", "bf16", "f32"]).default("f16")
    .describe("Width of merged weights for forms that merge into plain weights (lora, q-blora)."),
});

/** Parameters of {@linkcode merge}. */
export type MergeParameters = z.output<typeof parameters>;

/**
 * Largest change of a logit that f32 rounding explains, as a share of the largest logit, where a form
 * promises an exact merge.
 */
const EXACT_TOLERANCE = 1e-4;

/** See the module documentation. */
export const merge: Stage<MergeParameters> = {
  name: "merge",
  version: 1,
  summary: "Merge an adapter into its base, and measure that nothing changed",
  parameters,
  accepts: ["adapter"],
  produces: "model",
  dependsOn: () => ({ seed: false, device: true }),
  sources: () => [],
  // deno-lint-ignore require-await -- other stages read files here
  async forecast({ input }) {
    const before = inputOutline(input);
    const { model, adapter, probeLength } = before;
    const exact = adapter !== null && formNamed(adapter.description.form).mergesExactly;
    const after = plainOutline(exact ? model : { config: model.config, moduleFormat: () => null });
    return {
      outline: after,
      rehearse: (device) => {
        if (adapter === null) return;
        const { ledger } = device;
        ledger.take("host", "adapter", adapterBytes(adapter));
        ledger.phase("layer by layer");
        for (const { path, rows, columns } of modelLinears(model.config)) {
          const format = model.moduleFormat(path);
          const layer = ledger.take("host", "a layer", formatBytes(format, rows, columns));
          // Into zeros: at most once more; else codes in bytes, and f32 before and after.
          const size = rows * columns;
          const merged = exact
            ? formatBytes(format, rows, columns)
            : (format === null ? 8 : 9) * size;
          ledger.take("host", "the layer merged", merged).drop();
          layer.drop();
        }
        if (probeLength === 0) return;
        rehearseComparison(device, before, after, { longest: probeLength, total: PROBE_TOKENS });
      },
    };
  },
  async run(context) {
    const { input } = context;
    if (input === null) throw new RangeError("merge needs an adapter");
    using trained = await openTrainedModel(context, input);
    if (trained.adapter === null) {
      await copyModel(trained.model, context.folder);
      return { metrics: {}, facts: { merged_into: "nothing: full training has no adapter" } };
    }
    const exact = formNamed(trained.adapter.description.form).mergesExactly;
    const { movement } = await writeMerged(context, trained, exact, input.key);
    const outcome = await prove(context, trained, exact, input.folder);
    return {
      metrics: outcome.metrics,
      facts: {
        ...outcome.facts,
        merged_into: exact ? "zero points" : `${context.parameters.dtype} weights`,
        ...(exact ? { zero_movement_rms_steps: movement } : {}),
      },
    };
  },
};

async function writeMerged(
  context: StageContext<MergeParameters>,
  { model, adapter }: TrainedModel,
  exact: boolean,
  adapterKey: string,
): Promise<{ movement: number }> {
  if (adapter === null) throw new RangeError("writeMerged needs an adapter");
  if (model.quantization?.merged === adapterKey) {
    throw new UserError(`The model in ${model.folder} has this adapter merged already`);
  }
  const dtype = WEIGHT_DTYPES[context.parameters.dtype];
  const linears = modelLinears(model.config);
  using writer = new ModelWriter(context.folder, [
    ...linears.flatMap((linear) => {
      if (!exact) return weightOutlines(linear, null, dtype);
      // A layer that an exact merge leaves alone keeps its values, so it keeps their width.
      const format = model.moduleFormat(linear.path);
      const width = format === null ? model.keptDtype(`${linear.path}.weight`) : undefined;
      return weightOutlines(linear, format, width);
    }),
    ...plainOutlines(model),
  ]);
  let square = 0;
  let merged = 0;
  for (const [done, linear] of linears.entries()) {
    context.signal.throwIfAborted();
    collectGarbage();
    context.report({ activity: `merging ${linear.path}`, done, total: linears.length });
    if (model.tensors.has(`${linear.path}.g_idx`)) {
      throw new UserError(
        `Cannot merge into ${linear.path}: its groups are permuted (act-order, g_idx), so a pooled ` +
          `adapter is not constant on them; quantize without act-order`,
      );
    }
    const module = adapter.modules.get(linear.path);
    const weight = await model.weight(linear);
    let result: HostWeight;
    if (!exact) {
      const values = dequantizeHost(weight);
      const dense = {
        format: "dense" as const,
        rows: weight.rows,
        columns: weight.columns,
        values,
      };
      result = module === undefined ? dense : mergeIntoDense(dense, module);
    } else if (module === undefined) {
      result = weight;
    } else if (weight.format === "integer" || weight.format === "mixed") {
      result = mergeIntoZeros(weight, module, linear.path);
      square += zeroMovement(weight, result) ** 2;
      merged++;
    } else {
      throw new UserError(
        `Cannot merge the ${adapter.description.form} adapter of ${linear.path} exactly: its weight ` +
          `is ${weight.format}, which has no zero points of consecutive inputs`,
      );
    }
    for (const { name, values } of weightTensors(linear.path, result)) writer.write(name, values);
  }
  await copyPlainTensors(model, writer);
  const { quantization_config: _, ...config } = model.json;
  await writer.finish(
    exact
      ? { ...config, quantization_config: { ...model.quantization, merged: adapterKey } }
      : { ...config, torch_dtype: TORCH_DTYPES[dtype] },
    model.folder,
  );
  return { movement: Math.sqrt(square / Math.max(1, merged)) };
}

/** Runs both models on the tokens that came with the adapter. */
async function prove(
  context: StageContext<MergeParameters>,
  trained: TrainedModel,
  exact: boolean,
  adapterFolder: string,
): Promise<StageOutcome> {
  const rows = readProbe(adapterFolder);
  if (rows === null) {
    return {
      metrics: {},
      facts: { proof: "none: the adapter was not trained, so it has no text" },
    };
  }
  using model = ModelFolder.open(context.folder);
  const merged: TrainedModel = {
    model,
    adapter: null,
    full: false,
    [Symbol.dispose]: () => {},
  };
  context.report({ activity: "comparing the model before and after" });
  const compared = await compareModels(await context.device(), trained, merged, rows);
  const share = compared.largestDifference / compared.largestLogit;
  if (exact && !(share <= EXACT_TOLERANCE)) {
    throw new UserError(
      `The merge of "${context.input?.node}" is not exact: a logit moved by ` +
        `${compared.largestDifference.toExponential(2)}, ${
          share.toExponential(2)
        } of the largest ` +
        `(${
          compared.largestLogit.toPrecision(4)
        }), where f32 rounding explains ${EXACT_TOLERANCE}; ` +
        `please report this`,
    );
  }
  const protocol = `probe-${compared.tokens}`;
  return {
    metrics: {
      max_logit_difference: { value: compared.largestDifference, protocol },
      relative_logit_difference: { value: share, protocol },
      perplexity_before: { value: compared.perplexityBefore, protocol },
      perplexity_after: { value: compared.perplexityAfter, protocol },
    },
    facts: { exact },
  };
}

/** The merge of a fully trained model: the model itself. */
async function copyModel(model: ModelFolder, folder: string): Promise<void> {
  for await (const entry of Deno.readDir(model.folder)) {
    if (entry.isFile && entry.name !== "artifact.json") {
      await Deno.copyFile(`${model.folder}/${entry.name}`, `${folder}/${entry.name}`);
    }
  }
}
