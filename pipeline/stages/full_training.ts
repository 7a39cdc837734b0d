/**
 * Training all weights of a model: which values train, and the folder they are written to.
 *
 * @module
 */

import type { Tensor } from "../../kernels/device.ts";
import { readJson } from "../formats/files.ts";
import { modelLinears, plainTensors } from "../models/architecture.ts";
import type { ModelConfig } from "../models/config.ts";
import type { LanguageModel } from "../models/language_model.ts";
import { ModelWriter, TORCH_DTYPES } from "../models/model_writer.ts";
import type { WeightDtype } from "../models/quantized_tensors.ts";
import type { ParameterShape } from "../models/parameters.ts";
import { readParts, type TensorPart } from "../models/tensor_parts.ts";

/** Every tensor of a model; matrices decay, norms and biases do not. */
export function fullParameterShapes(config: ModelConfig): ParameterShape[] {
  return [
    ...plainTensors(config).map(({ name, shape }) => ({ name, shape, decay: shape.length > 1 })),
    ...modelLinears(config).map(({ path, rows, columns }) => ({
      name: `${path}.weight`,
      shape: [rows, columns],
      decay: true,
    })),
  ];
}

/**
 * Writes the values that a model holds as a Hugging Face folder.
 *
 * @param from Folder whose `config.json`, tokenizer and the like the new folder keeps; may be
 * `folder` itself.
 * @param dtype Width of the stored values.
 */
export async function writeTrainedWeights(
  folder: string,
  model: LanguageModel,
  from: string,
  dtype: WeightDtype = "F32",
): Promise<void> {
  const shapes = fullParameterShapes(model.config);
  using writer = new ModelWriter(folder, shapes.map(({ name, shape }) => ({ name, shape, dtype })));
  for (const { name } of shapes) {
    const parameter = model.parameters.get(name);
    if (parameter === null) throw new RangeError(`${name} was not trained`);
    await writer.stream(name, floats(model, parameter.value));
  }
  const json = readJson(`${from}/config.json`, "a model folder");
  await writer.finish(
    { ...json, tie_word_embeddings: model.config.tied, torch_dtype: TORCH_DTYPES[dtype] },
    from === folder ? undefined : from,
  );
}

async function* floats(
  { device }: LanguageModel,
  tensor: Tensor,
): AsyncGenerator<TensorPart<Float32Array>> {
  for await (const { first, values } of readParts(device, tensor)) {
    yield { first, values: values instanceof Float32Array ? values : Float32Array.from(values) };
  }
}
