/**
 * Any model with dense weights as a folder of the Hugging Face layout, tensor by tensor.
 *
 * @module
 */

import { modelLinears, plainTensors } from "./architecture.ts";
import type { ModelSource } from "./language_model.ts";
import { ModelWriter } from "./model_writer.ts";
import { type WeightDtype, weightOutlines, weightTensors } from "./quantized_tensors.ts";

/**
 * Writes a model without a tokenizer into an existing folder; `json` becomes its `config.json`.
 *
 * @throws {RangeError} If a weight of `source` is not dense.
 */
export async function writeDenseModel(
  folder: string,
  source: ModelSource,
  json: Readonly<Record<string, unknown>>,
  dtype: WeightDtype = "F32",
): Promise<void> {
  const plain = plainTensors(source.config);
  const linears = modelLinears(source.config);
  using writer = new ModelWriter(folder, [
    ...plain.map(({ name, shape }) => ({ name, shape, dtype })),
    ...linears.flatMap((linear) => weightOutlines(linear, null, dtype)),
  ]);
  for (const { name } of plain) writer.write(name, await source.floats(name));
  for (const linear of linears) {
    const weight = await source.weight(linear);
    if (weight.format !== "dense") throw new RangeError(`${linear.path} is ${weight.format}`);
    for (const { name, values } of weightTensors(linear.path, weight)) writer.write(name, values);
  }
  await writer.finish(json);
}
