// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * LoftQ, QuAILoRA and CLoQ on the layers of a real model with the Gram matrices of real text: against
 * NumPy and SciPy in float64, and against each other in the order that theory and papers give.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { unpackCodes } from "../../kernels/packing.ts";
import { tileUpdate } from "../../pipeline/adapters/merge.ts";
import { planAdapter } from "../../pipeline/adapters/plan.ts";
import { findPython } from "../../pipeline/environment/oracles.ts";
import type {
  InitializedLayer,
  InitializerLayer,
} from "../../pipeline/initializers/initializer.ts";
import {
  initializerFor,
  initializerSchema,
  trainsModel,
} from "../../pipeline/initializers/registry.ts";
import { LINEAR_NAMES } from "../../pipeline/models/architecture.ts";
import { rtn } from "../../pipeline/quantizers/rtn.ts";
import { NO_TEST_DATA, testUnless } from "../support/optional.ts";
import { bytesOf, type RealLayer, realLayers } from "../support/real_layers.ts";

const SCRIPT = new URL("./initializers.py", import.meta.url).pathname;
const GROUP = 32;

const python = await findPython(["numpy", "scipy"]);
const missing = python === null
  ? "no Python with NumPy and SciPy: deno task setup --oracles"
  : NO_TEST_DATA;

async function runOracle(...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(python ?? "", {
    args: [SCRIPT, ...args],
    // Threads that wait for each other are slow where processors are shared.
    env: { OPENBLAS_NUM_THREADS: "1", OMP_NUM_THREADS: "1" },
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
  { path, rows, columns, weights, gram }: RealLayer,
  { form, rank, alpha, bits, blockRows }: Omit<Case, "name" | "init">,
): InitializerLayer {
  const name = LINEAR_NAMES.find((name) => path.endsWith(name));
  assert(name !== undefined);
  const linear = { name, path, layer: 0, rows, columns, bias: false };
  const shape = planAdapter(
    {
      form,
      rank,
      alpha,
      lambda: 2,
      pooling: "average",
      budget: null,
      rankStabilized: false,
      targets: [name],
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
    original: weights,
    base: requantize(weights),
    calibration: { gram, tokens: 2048, sample: null },
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
    const work = [];
    for (const real of await realLayers(() => true)) {
      await Deno.writeFile(join(folder, `${real.path}.f4`), bytesOf(real.weights));
      await Deno.writeFile(join(folder, `${real.path}.f8`), bytesOf(real.gram.values));
      const pooled = POOLED_LAYERS.test(real.path) ? POOLED_CASES : [];
      for (const test of [...CASES, ...pooled]) {
        work.push({ name: `${real.path}.${test.name}`, test, layer: layerOf(real, test) });
      }
    }
    const cases = work.map((
      { name, test: { init, bits, blockRows }, layer: { linear, shape } },
    ) => ({
      name,
      method: init.method,
      iterations: init.iterations ?? (init.method === "quailora" ? 20 : 1),
      weights: join(folder, `${linear.path}.f4`),
      gram: join(folder, `${linear.path}.f8`),
      rows: linear.rows,
      columns: linear.columns,
      bits,
      block_rows: blockRows,
      group_size: GROUP,
      pool: shape.pool,
      repeat: shape.repeat,
      rank: shape.a === null ? null : shape.rank,
    }));
    await Deno.writeTextFile(join(folder, "request.json"), JSON.stringify({ cases }));
    const errors = JSON.parse(await runOracle(join(folder, "request.json"), folder));

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

testUnless(
  NO_TEST_DATA,
  "calibrated errors of real layers come in the order of theory",
  async () => {
    const layers = await realLayers((path) => path.includes("layers.1."));
    const error = (real: RealLayer, options: Partial<Case>, init: Case["init"]) =>
      initialize(layerOf(real, { ...PLAIN, ...options }), init).error!;
    for (const bits of [4, 3, 2] as const) {
      for (const real of layers) {
        const run = (init: Case["init"]) => error(real, { bits }, init).after;
        const { before } = error(real, { bits }, { method: "cloq" });
        const once = run({ method: "cloq" });
        const best = run({ method: "cloq", iterations: 6 });
        const quailora = run({ method: "quailora" });
        const name = `${real.path}, INT${bits}`;
        assert(best <= once, `${name}: iterated CLoQ ${best}, CLoQ ${once}`);
        assert(once <= quailora * (1 + 1e-6), `${name}: CLoQ ${once}, QuAILoRA ${quailora}`);
        assert(
          quailora <= run({ method: "loftq", iterations: 1 }),
          `${name}: QuAILoRA ${quailora}`,
        );
        assert(once < 0.95 * before, `${name}: CLoQ ${once}, nothing ${before}`);
        const loftq = run({ method: "loftq", iterations: 5 });
        assert(best <= loftq, `${name}: iterated CLoQ ${best}, LoftQ ${loftq}`);
        for (const { form, blockRows } of POOLED_CASES) {
          const pooled = error(real, { form, blockRows, bits }, { method: "cloq" });
          assert(pooled.after < pooled.before, `${name}, ${form}: ${pooled.after}`);
        }
      }
    }
  },
);
