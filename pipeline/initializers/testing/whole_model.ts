// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Hidden states and losses of whole models on all windows at once, for tests of methods that go through
 * a model window by window and block by block.
 *
 * @module
 */

import type { Device, Tensor } from "../../../kernels/device.ts";
import type { HostModule } from "../../adapters/adapter.ts";
import { placeAdapter } from "../../adapters/placement.ts";
import { BLOCK_INPUTS } from "../../calibration/block_pass.ts";
import { BatchModel } from "../../models/batch_model.ts";
import { forwardBlock } from "../../models/block.ts";
import { blockActivations, blockEnvironment } from "../../models/block_tensors.ts";
import {
  freeLanguageModel,
  type LanguageModel,
  loadLanguageModel,
  type ModelSource,
} from "../../models/language_model.ts";
import { TensorScope } from "../../models/tensor_scope.ts";
import type { TestRun } from "./models.ts";

type Run = Pick<TestRun, "device" | "windows" | "shape">;

type Modules = ReadonlyMap<string, HostModule>;

/** The inputs of every block and, last, what leaves the last one: `[samples * length, hidden]` each. */
export async function hiddenStates(
  run: Run,
  source: ModelSource,
  modules?: Modules,
): Promise<Float64Array[]> {
  return (await runWhole(run, source, modules)).states;
}

/** The four inputs that the layers of every block share: `[samples * length, columns]` each. */
export async function layerInputs(
  run: Run,
  source: ModelSource,
  modules?: Modules,
): Promise<Float64Array[]> {
  return (await runWhole(run, source, modules)).inputs;
}

async function runWhole(
  { device, windows, shape: { samples, length } }: Run,
  source: ModelSource,
  modules: Modules = new Map(),
): Promise<{ readonly states: Float64Array[]; readonly inputs: Float64Array[] }> {
  const { config } = source;
  const model = await load(device, source, modules);
  const scope = new TensorScope(device);
  const tokens = scope.tensor("u32", [windows.length], "tokens");
  const states = Array.from(
    { length: config.layers + 1 },
    () => scope.tensor("f32", [windows.length, config.hiddenSize], "hidden states"),
  );
  const environment = blockEnvironment(scope, config, { batchSize: samples, length });
  const activations = model.blocks.map((block) =>
    blockActivations(scope, config, windows.length, block)
  );
  const recording = device.record("whole model", (operations) => {
    operations.embedding({ tokens, table: model.embedding.value, output: states[0]! });
    model.blocks.forEach((block, layer) => {
      const [input, output] = [states[layer]!, states[layer + 1]!];
      forwardBlock(operations, environment, block, activations[layer]!, input, output, {
        dropout: false,
      });
    });
  });
  device.write(tokens, windows);
  device.run(recording);
  const read = async (tensor: Tensor) => Float64Array.from(await device.readFloats(tensor));
  const result = {
    states: await Promise.all(states.map(read)),
    inputs: await Promise.all(
      activations.flatMap((activations) => BLOCK_INPUTS.map(({ of }) => read(of(activations)))),
    ),
  };
  recording.release();
  scope.release();
  freeLanguageModel(model);
  return result;
}

/** Of all windows: the cross-entropy of every token but the last, and the final hidden states. */
export async function outputs(
  { device, windows, shape: { samples, length } }: Run,
  source: ModelSource,
  modules: Modules = new Map(),
): Promise<{ readonly losses: Float64Array; readonly final: Float64Array }> {
  const model = await load(device, source, modules);
  const batch = new BatchModel(model, { batchSize: samples, length });
  const isTarget = (index: number) => index % length < length - 1;
  device.write(batch.tokens, windows);
  device.write(batch.targets, windows.map((_, i) => isTarget(i) ? windows[i + 1]! : 0));
  device.write(batch.weights, Float32Array.from(windows, (_, i) => isTarget(i) ? 1 : 0));
  device.run(batch.forward);
  const losses = Float64Array.from(await device.readFloats(batch.losses));
  const final = Float64Array.from(await device.readFloats(batch.final));
  batch.release();
  freeLanguageModel(model);
  return { losses: losses.filter((_, index) => isTarget(index)), final };
}

function load(device: Device, source: ModelSource, modules: Modules): Promise<LanguageModel> {
  const description = { form: "", pooling: "average" as const, base: "", peft: null };
  return loadLanguageModel(
    device,
    source,
    undefined,
    placeAdapter(device, { description, modules }),
  );
}

/** Mean of squared differences. */
export function meanSquare(left: Float64Array, right: Float64Array): number {
  return left.reduce((sum, value, index) => sum + (value - right[index]!) ** 2, 0) / left.length;
}

/** The rows of some windows. */
export function windowsOf(
  values: Float64Array,
  windows: readonly number[],
  samples: number,
): Float64Array {
  const size = values.length / samples;
  return Float64Array.from(
    windows.flatMap((window) => [...values.subarray(window * size, (window + 1) * size)]),
  );
}
