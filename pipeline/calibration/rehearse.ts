/**
 * What calibration will hold, for the memory plan of a stage.
 *
 * @module
 */

import type { CountingDevice } from "../../kernels/counting/device.ts";
import type { Ledger } from "../../kernels/counting/ledger.ts";
import { blockLinears, type LinearShape } from "../models/architecture.ts";
import type { ModelOutline } from "../models/language_model.ts";
import { BLOCK_INPUTS, BlockPass, type NeedsOf } from "./block_pass.ts";
import { DeviceBlock } from "./device_block.ts";
import { SAMPLE_ROWS } from "./input_sample.ts";
import type { CalibrationNeeds } from "./layer_calibration.ts";
import { type CalibrationOptions, calibrationShape } from "./options.ts";
import { OutputNorm } from "./output_error.ts";

/**
 * What methods hold besides while they work on a layer, in float64: copies of its Gram matrix (damped,
 * factored, inverted) and of its weights. Measured with GPTQ and CLoQ; see `docs/memory.md`.
 */
const WORKING_GRAMS = 4;
const WORKING_WEIGHTS = 3;

/** What linear algebra adds to the process, beside its matrices: compiled code. Measured. */
const CODE_BYTES = 20e6;

/** Matrices of outputs of the sampled inputs: the true ones, their logarithms, the quantized ones. */
const WORKING_OUTPUTS = 3;

/**
 * Makes the allocations of `calibrate`: on the device those of one block, which the others follow in
 * the same memory; on the host of all, because what they leave is not collected at once.
 *
 * @param source The model whose activations are seen.
 * @param after The model with the weights that take the place of its own; null if none do.
 * @param methodNeeds What a method reads of `needs`; the rest only serves to measure errors.
 */
export function rehearseCalibration(
  device: CountingDevice,
  source: ModelOutline,
  after: ModelOutline | null,
  options: CalibrationOptions,
  needs: NeedsOf,
  methodNeeds: NeedsOf = needs,
): void {
  const { ledger } = device;
  const { config } = source;
  const shape = calibrationShape(options, config);
  const tokens = shape.batchSize * shape.length;
  ledger.take("host", "linear algebra", CODE_BYTES);
  ledger.take("host", "calibration tokens", 4 * shape.samples * shape.length);
  ledger.take("host", "a batch of hidden states", 2 * 4 * tokens * config.hiddenSize);
  ledger.phase("calibrating");
  const block = new DeviceBlock(device, source, 0);
  let pass: BlockPass | null = new BlockPass(device, config, block.block, shape, needs);
  for (let layer = 0; layer < config.layers; layer++) {
    const rows = Math.min(SAMPLE_ROWS, shape.samples * shape.length);
    const held = BLOCK_INPUTS.flatMap(({ linears: names }) =>
      takeInput(
        ledger,
        blockLinears(config, layer).filter((linear) => names.includes(linear.name)),
        needs,
        rows,
      )
    );
    pass?.release();
    pass = null;
    takeWork(ledger, blockLinears(config, layer), methodNeeds, rows);
    held.forEach((matrix) => matrix.drop());
  }
  new OutputNorm(device, Math.max(...blockLinears(config, 0).map(({ columns }) => columns)))
    [Symbol.dispose]();
  if (after !== null) {
    for (const { name, path } of blockLinears(config, 0)) {
      block.reallocate(name, after.moduleFormat(path));
    }
    new BlockPass(device, config, block.block, shape, () => null).release();
  }
  block.release();
}

/** What the host keeps of an input until the methods are done. */
function takeInput(
  ledger: Ledger,
  linears: readonly LinearShape[],
  needs: NeedsOf,
  rows: number,
): { drop(): void }[] {
  const [{ columns } = { columns: 0 }] = linears;
  const some = (key: keyof CalibrationNeeds) => linears.some((linear) => needs(linear)?.[key]);
  return [
    ...some("gram") ? [ledger.take("host", "Gram matrices", 8 * columns ** 2)] : [],
    ...some("sample") ? [ledger.take("host", "samples of inputs", 4 * rows * columns)] : [],
  ];
}

/** The method on the layer that takes most; `sampled` inputs and their outputs if it reads a sample. */
function takeWork(
  ledger: Ledger,
  linears: readonly LinearShape[],
  needs: NeedsOf,
  sampled: number,
): void {
  const bytes = linears.map((linear) => {
    const { rows, columns } = linear;
    const { gram = false, sample = false } = needs(linear) ?? {};
    return (gram ? 8 * columns * (WORKING_GRAMS * columns + WORKING_WEIGHTS * rows) : 0) +
      (sample ? 8 * sampled * (columns + WORKING_OUTPUTS * rows) : 0);
  });
  const most = Math.max(...bytes);
  if (most > 0) ledger.take("host", "the method on a layer", most).drop();
}
