// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * LoftQ, QuAILoRA and CLoQ against NumPy and SciPy in float64, on the layers of a real model with the
 * Gram matrices of real text.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { unpackCodes } from "../../kernels/packing.ts";
import { tileUpdate } from "../../pipeline/adapters/merge.ts";
import { planAdapter } from "../../pipeline/adapters/plan.ts";
import { Tokenizer } from "../../pipeline/data/tokenizer.ts";
import { findPython } from "../../pipeline/environment/oracles.ts";
import { dequantizeHost } from "../../pipeline/formats/host_weight.ts";
import type {
  InitializedLayer,
  InitializerLayer,
} from "../../pipeline/initializers/initializer.ts";
import {
  initializerFor,
  initializerSchema,
  trainsModel,
} from "../../pipeline/initializers/registry.ts";
import { matrix } from "../../pipeline/linalg/matrix.ts";
import type { LinearShape } from "../../pipeline/models/architecture.ts";
import { modelLinears } from "../../pipeline/models/architecture.ts";
import { ModelFolder } from "../../pipeline/models/model_folder.ts";
import { rtn } from "../../pipeline/quantizers/rtn.ts";
import { NO_TEST_DATA, TEST_DATA, testUnless } from "../support/optional.ts";

const SCRIPT = new URL("./initializers.py", import.meta.url).pathname;
const FOLDER = join(TEST_DATA, "models/tinystories-656k");
const GROUP = 32;

const python = await findPython(["torch", "numpy", "scipy"]);
const missing = python === null
  ? "no Python with PyTorch, NumPy and SciPy: deno task setup --oracles"
  : NO_TEST_DATA;

async function runOracle(...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(python ?? "", {
    args: [SCRIPT, ...args],
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

async function readDoubles(file: string): Promise<Float64Array> {
  return new Float64Array((await Deno.readFile(file)).buffer);
}

/** A method on an adapter, in the terms of both sides. */
interface Case {
  readonly name: string;
  readonly init: { readonly method: "loftq" | "quailora" | "cloq" } & Record<string, unknown>;
  readonly form: string;
  readonly rank: number;
  readonly alpha: number;
  readonly bits: 2 | 3 | 4;
  readonly blockRows: number;
}

const PLAIN = { form: "lora", rank: 8, alpha: 16, bits: 2, blockRows: 1 } as const;

/** Of every layer. */
const CASES: readonly Case[] = [
  { ...PLAIN, name: "loftq", init: { method: "loftq", iterations: 1 } },
  { ...PLAIN, name: "loftq5", init: { method: "loftq", iterations: 5 }, bits: 3 },
  { ...PLAIN, name: "quailora", init: { method: "quailora" } },
  { ...PLAIN, name: "cloq", init: { method: "cloq" } },
  { ...PLAIN, name: "cloq4", init: { method: "cloq", iterations: 4 }, bits: 3 },
];

/** Of layers of three shapes: the pooled forms. */
const POOLED_CASES: readonly Case[] = [
  { form: "qa-lora", rank: 3, blockRows: 1 },
  { form: "q-blora", rank: 8, blockRows: 1 },
  { form: "qa-blora", rank: 2, blockRows: 4 },
  { form: "qa-hira", rank: 8, blockRows: 2 },
].flatMap((options) =>
  [
    { method: "loftq" as const, iterations: 2 },
    ...options.form === "qa-hira" ? [] : [{ method: "quailora" as const }],
    { method: "cloq" as const, iterations: 3 },
  ].map((init) => ({
    ...PLAIN,
    ...options,
    init,
    name: `${options.form}-${init.method}`,
  }))
);

const POOLED_LAYERS = /layers\.1\.(self_attn\.k_proj|mlp\.(up|down)_proj)$/;

function layerOf(
  linear: LinearShape,
  original: Float32Array,
  gram: Float64Array,
  { form, rank, alpha, bits, blockRows }: Case,
): InitializerLayer {
  const { rows, columns, path } = linear;
  const shape = planAdapter(
    {
      form,
      rank,
      alpha,
      lambda: 2,
      pooling: "average",
      budget: null,
      rankStabilized: false,
      targets: [linear.name],
    },
    linear,
    { rows: blockRows, columns: GROUP },
  );
  assert(shape !== null);
  const requantize = (weights: Float32Array) =>
    rtn.quantize(
      weights,
      rows,
      columns,
      { method: "rtn", bits, group_size: GROUP, block_rows: blockRows, symmetric: false },
      path,
    );
  return {
    linear,
    shape,
    seed: 1,
    original,
    base: requantize(original),
    calibration: { gram: matrix(columns, columns, gram), tokens: 4096, sample: null },
    requantize,
  };
}

function initialize(layer: InitializerLayer, init: Case["init"]): InitializedLayer {
  const parameters = initializerSchema.parse(init);
  assert(!trainsModel(parameters));
  return initializerFor(parameters).initialize(layer, parameters);
}

function codesOf({ base }: InitializedLayer, layer: InitializerLayer): Uint8Array {
  const weight = base ?? layer.base;
  assert(weight.format === "integer");
  return unpackCodes(weight.codes, weight.bits, weight.rows, weight.columns);
}

testUnless(missing, "LoftQ, QuAILoRA and CLoQ agree with NumPy on tinystories-656k", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const text = await Deno.readTextFile(join(TEST_DATA, "text/tinystories/stories.txt"));
    const tokens = Tokenizer.open(FOLDER).encode(text.slice(0, 30_000));
    const windows = Array.from(
      { length: 16 },
      (_, i) => [...tokens.subarray(256 * i, 256 * i + 256)],
    );
    assert(windows.every((window) => window.length === 256));
    await Deno.writeTextFile(join(folder, "tokens.json"), JSON.stringify(windows));
    await runOracle("gram", FOLDER, join(folder, "tokens.json"), folder);

    using model = ModelFolder.open(FOLDER);
    const work = [];
    for (const linear of modelLinears(model.config)) {
      const original = dequantizeHost(await model.weight(linear));
      await Deno.writeFile(join(folder, `${linear.path}.f4`), new Uint8Array(original.buffer));
      const gram = await readDoubles(join(folder, `${linear.path}.gram.f8`));
      const pooled = POOLED_LAYERS.test(linear.path) ? POOLED_CASES : [];
      for (const test of [...CASES, ...pooled]) {
        const name = `${linear.path}.${test.name}`;
        work.push({ name, test, linear, layer: layerOf(linear, original, gram, test) });
      }
    }
    const cases = work.map(({ name, test, linear, layer: { shape } }) => ({
      name,
      method: test.init.method,
      iterations: test.init.iterations ?? (test.init.method === "quailora" ? 20 : 1),
      weights: join(folder, `${linear.path}.f4`),
      gram: join(folder, `${linear.path}.gram.f8`),
      rows: linear.rows,
      columns: linear.columns,
      bits: test.bits,
      block_rows: test.blockRows,
      group_size: GROUP,
      pool: shape.pool,
      repeat: shape.repeat,
      rank: shape.a === null ? null : shape.rank,
    }));
    await Deno.writeTextFile(join(folder, "request.json"), JSON.stringify({ cases }));
    const errors = JSON.parse(await runOracle("solve", join(folder, "request.json"), folder));

    for (const { name, test, layer } of work) {
      const result = initialize(layer, test.init);
      const codes = await Deno.readFile(join(folder, `${name}.codes.u1`));
      const different = codesOf(result, layer).filter((code, i) => code !== codes[i]).length;
      assert.equal(different, 0, `${name}: ${different} codes differ`);
      for (const key of ["before", "after"] as const) {
        const [found, expected] = [result.error![key], errors[name][key]];
        assert(Math.abs(found / expected - 1) < 1e-6, `${name}: ${key} ${found}, ${expected}`);
      }
      const expected = await readDoubles(join(folder, `${name}.update.f8`));
      const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      tileUpdate(result.module).forEach((value, i) => {
        const distance = Math.abs(value - expected[i]!);
        assert(distance < 1e-6 * largest, `${name}: ${value} at ${i}, ${expected[i]}`);
      });
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
