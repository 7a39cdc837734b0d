/**
 * What calibration will hold, for the memory plan of a stage.
 *
 * @module
 */

import type { CountingDevice } from "../../kernels/counting/device.ts";
import { blockLinears } from "../models/architecture.ts";
import type { ModelOutline } from "../models/language_model.ts";
import { BLOCK_INPUTS, BlockPass, type NeedsOf } from "./block_pass.ts";
import { DeviceBlock } from "./device_block.ts";
import { SAMPLE_ROWS } from "./input_sample.ts";
import { type CalibrationOptions, calibrationShape } from "./options.ts";

/**
 * Makes the allocations of `calibrate`, of one block: the others follow it in the same memory.
 *
 * @param source The model whose activations are seen.
 * @param after The model with the weights that take the place of its own; null if none do.
 */
export function rehearseCalibration(
  device: CountingDevice,
  source: ModelOutline,
  after: ModelOutline | null,
  options: CalibrationOptions,
  needs: NeedsOf,
): void {
  const { ledger } = device;
  const { config } = source;
  const shape = calibrationShape(options, config);
  const tokens = shape.batchSize * shape.length;
  ledger.take("host", "calibration tokens", 4 * shape.samples * shape.length);
  ledger.take("host", "a batch of hidden states", 2 * 4 * tokens * config.hiddenSize);
  ledger.phase("calibrating");
  const block = new DeviceBlock(device, source, 0);
  const pass = new BlockPass(device, config, block.block, shape, needs);
  pass.release();
  const linears = blockLinears(config, 0);
  const held = BLOCK_INPUTS.flatMap(({ linears: names }) => {
    const readers = linears.filter((linear) => names.includes(linear.name) && needs(linear));
    const [first] = readers;
    if (first === undefined) return [];
    const gram = readers.some((linear) => needs(linear)?.gram);
    const sample = readers.some((linear) => needs(linear)?.sample);
    const rows = Math.min(SAMPLE_ROWS, shape.samples * shape.length);
    return [
      ledger.take("host", "Gram matrices", gram ? 8 * first.columns ** 2 : 0),
      ledger.take("host", "samples of inputs", sample ? 4 * rows * first.columns : 0),
    ];
  });
  if (after !== null) {
    for (const { name, path } of linears) block.reallocate(name, after.moduleFormat(path));
    new BlockPass(device, config, block.block, shape, () => null).release();
  }
  held.forEach((matrix) => matrix.drop());
  block.release();
}
