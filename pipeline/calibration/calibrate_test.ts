// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { join } from "node:path";
import { openCpu } from "../../kernels/cpu/device.ts";
import type { Device } from "../../kernels/device.ts";
import { ReferenceDevice } from "../../kernels/reference/device.ts";
import { openWebgpu } from "../../kernels/webgpu/adapter.ts";
import { testUnless } from "../../tests/support/optional.ts";
import { findPython } from "../environment/oracles.ts";
import { UserError } from "../errors.ts";
import { dequantizeHost, type HostWeight } from "../formats/host_weight.ts";
import { blockLinears, type LinearShape, modelLinears } from "../models/architecture.ts";
import { type ModelConfig, parseConfig } from "../models/config.ts";
import { writeDenseModel } from "../models/dense_model.ts";
import type { ModelSource } from "../models/language_model.ts";
import { RandomModel } from "../models/random_model.ts";
import { rtn } from "../quantizers/rtn.ts";
import { BLOCK_INPUTS } from "./block_pass.ts";
import { calibrate, type CalibrationRun } from "./calibrate.ts";
import type { LayerCalibration } from "./layer_calibration.ts";

const ACTIVATIONS = new URL("../../tests/oracles/activations.py", import.meta.url).pathname;

const JSON_CONFIG = {
  model_type: "llama",
  hidden_size: 16,
  intermediate_size: 32,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 48,
  max_position_embeddings: 32,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
};
const QWEN2 = { ...JSON_CONFIG, model_type: "qwen2", num_hidden_layers: 2 };
const QWEN3 = { ...JSON_CONFIG, model_type: "qwen3", head_dim: 8, num_hidden_layers: 2 };
const LENGTH = 12;
const SAMPLES = 6;

/** Weights large enough that blocks change what they pass on, and biases that are not zero. */
function modelOf(json: object): ModelSource {
  const config = parseConfig(json, "test model");
  const random = new RandomModel(config, 3, 0.3);
  return {
    config,
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

const WINDOWS = Uint32Array.from({ length: SAMPLES * LENGTH }, (_, index) => (index * 31 + 7) % 48);

async function quantized(source: ModelSource, linear: LinearShape): Promise<HostWeight> {
  const weight = await source.weight(linear);
  assert(weight.format === "dense");
  const parameters = rtn.parameters.parse({ method: "rtn", bits: 2, group_size: 8 });
  return rtn.quantize(weight.values, linear.rows, linear.columns, parameters, linear.path);
}

interface Options extends Partial<CalibrationRun> {
  readonly samples?: number;
  readonly batchSize?: number;
}

/** Runs calibration and collects what every layer is given. */
async function calibrations(
  device: Device,
  source: ModelSource,
  { samples = SAMPLES, batchSize = 2, ...options }: Options = {},
): Promise<Map<string, LayerCalibration>> {
  const found = new Map<string, LayerCalibration>();
  const folder = await Deno.makeTempDir({ prefix: "equipoise-test-" });
  try {
    await calibrate({
      device,
      source,
      windows: WINDOWS.subarray(0, samples * LENGTH),
      shape: { samples, length: LENGTH, batchSize },
      needs: () => ({ gram: true, sample: true }),
      scratch: join(folder, "scratch"),
      signal: new AbortController().signal,
      visit: (linear, calibration) => {
        if (calibration !== undefined) found.set(linear.path, calibration);
        return options.replace === undefined ? undefined : quantized(source, linear);
      },
      ...options,
    });
  } finally {
    const left = [...Deno.readDirSync(folder)].map(({ name }) => name);
    await Deno.remove(folder, { recursive: true });
    assert.deepEqual(left, []);
  }
  return found;
}

/** Gram matrices of each block's four inputs, by NumPy, of models whose weights `change` picks. */
async function oracle(
  python: string,
  json: { readonly num_hidden_layers: number },
  source: ModelSource,
  changes: readonly ((linear: LinearShape) => boolean)[],
): Promise<number[][][][][]> {
  const folder = await Deno.makeTempDir({ prefix: "equipoise-test-" });
  try {
    const folders: string[] = [];
    for (const [index, isQuantized] of changes.entries()) {
      folders.push(join(folder, `model${index}`));
      await Deno.mkdir(join(folder, `model${index}`));
      const mixed: ModelSource = {
        ...source,
        weight: async (linear) => {
          if (!isQuantized(linear)) return await source.weight(linear);
          const values = dequantizeHost(await quantized(source, linear));
          return { format: "dense", rows: linear.rows, columns: linear.columns, values };
        },
      };
      await writeDenseModel(join(folder, `model${index}`), mixed, { ...json });
    }
    const rows = Array.from(
      { length: SAMPLES },
      (_, row) => [...WINDOWS.subarray(row * LENGTH, (row + 1) * LENGTH)],
    );
    await Deno.writeTextFile(join(folder, "tokens.json"), JSON.stringify(rows));
    const { success, stdout, stderr } = await new Deno.Command(python, {
      args: [ACTIVATIONS, join(folder, "tokens.json"), ...folders],
    }).output();
    assert(success, new TextDecoder().decode(stderr));
    return new TextDecoder().decode(stdout).trim().split("\n").map((line) => JSON.parse(line));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function inputOf({ name }: LinearShape): number {
  return BLOCK_INPUTS.findIndex(({ linears }) => linears.includes(name));
}

/** Largest difference, relative to the largest entry. */
function distance(actual: Float64Array, expected: number[][]): number {
  const values = expected.flat();
  assert.equal(actual.length, values.length);
  const scale = Math.max(...values.map(Math.abs));
  return Math.max(...values.map((value, index) => Math.abs(value - (actual[index] ?? NaN)))) /
    scale;
}

const python = await findPython(["numpy"]);
const missing = python === null ? "no Python with NumPy: deno task setup --oracles" : null;

for (const json of [JSON_CONFIG, QWEN2, QWEN3]) {
  testUnless(missing, `Gram matrices are NumPy's: ${json.model_type}`, async () => {
    const source = modelOf(json);
    const [expected] = await oracle(python ?? "", json, source, [() => false]);
    const device = new ReferenceDevice();
    const found = await calibrations(device, source);
    for (const linear of modelLinears(source.config)) {
      const gram = found.get(linear.path)?.gram;
      assert(gram !== undefined);
      const difference = distance(gram.values, expected?.[linear.layer]?.[inputOf(linear)] ?? []);
      assert(difference < 1e-12, `${linear.path}: ${difference}`);
    }
    device.close();
  });
}

testUnless(missing, "inputs of a block come from the quantized blocks before it", async () => {
  const source = modelOf(JSON_CONFIG);
  const { config } = source;
  const layers = Array.from({ length: config.layers }, (_, layer) => layer);
  const expected = await oracle(
    python ?? "",
    JSON_CONFIG,
    source,
    layers.map((block) => ({ layer }) => layer < block),
  );
  const device = new ReferenceDevice();
  const found = await calibrations(device, source, { replace: "between_blocks" });
  for (const linear of modelLinears(config)) {
    const gram = expected[linear.layer]?.[linear.layer]?.[inputOf(linear)] ?? [];
    const difference = distance(found.get(linear.path)!.gram.values, gram);
    // NumPy reads the quantized weights rounded to f32.
    assert(difference < 1e-6, `${linear.path}: ${difference}`);
  }
  device.close();
});

testUnless(missing, "true_sequential: inputs come from quantized layers, too", async () => {
  const source = modelOf(JSON_CONFIG);
  const { config } = source;
  const inputs = Array.from({ length: 4 * config.layers }, (_, input) => input);
  const expected = await oracle(
    python ?? "",
    JSON_CONFIG,
    source,
    inputs.map((input) => (linear) => 4 * linear.layer + inputOf(linear) < input),
  );
  const device = new ReferenceDevice();
  const found = await calibrations(device, source, { replace: "within_blocks" });
  for (const linear of modelLinears(config)) {
    const input = inputOf(linear);
    const gram = expected[4 * linear.layer + input]?.[linear.layer]?.[input] ?? [];
    const difference = distance(found.get(linear.path)!.gram.values, gram);
    // NumPy reads the quantized weights rounded to f32.
    assert(difference < 1e-6, `${linear.path}: ${difference}`);
  }
  device.close();
});

Deno.test("the modes differ where they should and agree where they should", async () => {
  const source = modelOf(JSON_CONFIG);
  const device = new ReferenceDevice();
  const [full, between, within] = [
    await calibrations(device, source),
    await calibrations(device, source, { replace: "between_blocks" }),
    await calibrations(device, source, { replace: "within_blocks" }),
  ];
  for (const { path, layer, name } of modelLinears(source.config)) {
    const [a, b, c] = [full, between, within].map((found) => found.get(path)?.gram.values);
    const same = (left?: Float64Array, right?: Float64Array) => left?.join() === right?.join();
    assert.equal(same(a, b), layer === 0, `${path}: full and between blocks`);
    const first = ["q_proj", "k_proj", "v_proj"].includes(name);
    // Round to nearest gives the same weights whatever it sees, so blocks begin alike.
    assert.equal(same(b, c), first, `${path}: between and within blocks`);
  }
  device.close();
});

Deno.test("samples are rows of the inputs: their mean outer product is the Gram matrix", async () => {
  const device = new ReferenceDevice();
  const source = modelOf(JSON_CONFIG);
  const found = await calibrations(device, source);
  for (const { gram, tokens, sample } of found.values()) {
    assert.equal(tokens, SAMPLES * LENGTH);
    // So few tokens are all in the sample.
    const { columns } = gram;
    assert.equal(sample?.length, tokens * columns);
    const scale = Math.max(...gram.values);
    for (let row = 0; row < columns; row++) {
      for (let column = 0; column < columns; column++) {
        let sum = 0;
        for (let token = 0; token < tokens; token++) {
          sum += sample![token * columns + row]! * sample![token * columns + column]!;
        }
        const difference = Math.abs(sum / tokens - gram.values[row * columns + column]!);
        // Samples are rounded to f32, twice in a product.
        assert(difference <= 2 ** -22 * scale, `${difference} of ${scale}`);
      }
    }
  }
  device.close();
});

Deno.test("layers get what they ask for and no more", async () => {
  const device = new ReferenceDevice();
  const source = modelOf(JSON_CONFIG);
  const found = await calibrations(device, source, {
    needs: ({ name }) => name === "o_proj" ? { gram: false, sample: true } : null,
  });
  assert.deepEqual(
    [...found.keys()],
    modelLinears(source.config).filter(({ name }) => name === "o_proj").map(({ path }) => path),
  );
  for (const { gram, sample } of found.values()) {
    assert.deepEqual([gram.rows, gram.columns, sample?.length], [0, 0, SAMPLES * LENGTH * 16]);
  }
  device.close();
});

Deno.test("memory of the device does not depend on the number of windows", async () => {
  const source = modelOf(JSON_CONFIG);
  const peaks: number[] = [];
  for (const samples of [2, SAMPLES]) {
    const device = new ReferenceDevice();
    await calibrations(device, source, { samples, replace: "between_blocks" });
    const { peak, current } = device.memory();
    assert.equal(current, 0);
    peaks.push(peak);
    device.close();
  }
  assert.equal(peaks[0], peaks[1]);
});

for (
  const [name, open] of [["cpu", () => openCpu({ threads: 2 })], ["webgpu", openWebgpu]] as const
) {
  Deno.test(`${name} gives the same bits again, close to the reference`, async () => {
    const source = modelOf(JSON_CONFIG);
    const reference = await calibrations(new ReferenceDevice(), source, {
      replace: "between_blocks",
    });
    const device = await open();
    const [first, second] = [
      await calibrations(device, source, { replace: "between_blocks" }),
      await calibrations(device, source, { replace: "between_blocks" }),
    ];
    for (const [path, { gram, sample }] of first) {
      assert.deepEqual(second.get(path)?.gram.values, gram.values);
      assert.deepEqual(second.get(path)?.sample, sample);
      const { columns, values } = reference.get(path)!.gram;
      const rows = Array.from(
        { length: columns },
        (_, row) => [...values.subarray(row * columns, (row + 1) * columns)],
      );
      assert(distance(gram.values, rows) < 1e-5);
    }
    device.close();
  });
}

Deno.test("activations that are not finite are an error that names the layer", async () => {
  const source = modelOf(JSON_CONFIG);
  const broken: ModelSource = {
    ...source,
    weight: async (linear) => {
      const weight = await source.weight(linear);
      if (weight.format === "dense" && linear.path === "model.layers.1.self_attn.v_proj") {
        weight.values[5] = NaN;
      }
      return weight;
    },
  };
  const device = new ReferenceDevice();
  await assert.rejects(
    calibrations(device, broken),
    (error) =>
      error instanceof UserError &&
      /inputs of model\.layers\.1\.self_attn\.o_proj are not finite/.test(error.message),
  );
  assert.equal(device.memory().current, 0);
  device.close();
});

Deno.test("an interrupted run leaves nothing behind", async () => {
  const device = new ReferenceDevice();
  const controller = new AbortController();
  await assert.rejects(
    calibrations(device, modelOf(JSON_CONFIG), {
      signal: controller.signal,
      report: (done) => done === 1 && controller.abort(new Error("interrupted")),
    }),
    /interrupted/,
  );
  assert.equal(device.memory().current, 0);
  device.close();
});

/** Every layer once, in order. */
Deno.test("layers are visited in the order in which they are computed", async () => {
  const source = modelOf(JSON_CONFIG);
  const { config }: { config: ModelConfig } = source;
  const expected = Array.from({ length: config.layers }, (_, layer) => blockLinears(config, layer))
    .flat().map(({ path }) => path);
  for (const replace of ["never", "between_blocks", "within_blocks"] as const) {
    const device = new ReferenceDevice();
    const visited: string[] = [];
    await calibrations(device, source, {
      replace,
      visit: (linear) => {
        visited.push(linear.path);
        return quantized(source, linear);
      },
    });
    assert.deepEqual(visited, expected);
    device.close();
  }
});
