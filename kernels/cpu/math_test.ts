import assert from "node:assert/strict";
import { exp, log } from "./math.ts";
import { type Expression, i64, v128 } from "./wasm/expression.ts";
import type { FunctionBuilder } from "./wasm/function.ts";
import { ModuleBuilder } from "./wasm/module.ts";

type VectorFunction = (f: FunctionBuilder, x: Expression<"v128">) => Expression<"v128">;

/** Applies a function to floats, four at a time. */
function apply(compute: VectorFunction, inputs: Float32Array): Float32Array {
  const module = new ModuleBuilder({ memory64: true });
  const map = module.function({ parameters: ["i64", "i64"] }, (f) => {
    const address = f.let<"i64">(f.parameter(0, "i64"));
    f.while(i64.ltU(address, f.parameter(1, "i64")), () => {
      f.do(v128.store(address, compute(f, v128.load(address))));
      f.set(address, i64.add(address, 16));
    });
  });
  module.export("map", map);
  const pages = BigInt(Math.ceil((4 * inputs.length + 16) / 65536));
  const descriptor = { address: "i64", initial: pages, maximum: pages, shared: true };
  const memory = new WebAssembly.Memory(descriptor as unknown as WebAssembly.MemoryDescriptor);
  const values = new Float32Array(memory.buffer, 0, inputs.length);
  values.set(inputs);
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.build()), {
    host: { memory },
  });
  (instance.exports.map as (from: bigint, to: bigint) => void)(0n, BigInt(4 * inputs.length));
  return values.slice();
}

/** Units in the last place of a normal float between two numbers. */
function unitsBetween(actual: number, exact: number): number {
  const exponent = Math.floor(Math.log2(Math.abs(exact)));
  return Math.abs(actual - exact) / 2 ** (Math.max(exponent, -126) - 23);
}

function largestError(
  compute: VectorFunction,
  exact: (x: number) => number,
  inputs: Float32Array,
): number {
  return apply(compute, inputs).reduce(
    (largest, value, i) => Math.max(largest, unitsBetween(value, exact(inputs[i] ?? NaN))),
    0,
  );
}

function steps(from: number, to: number, count: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => from + (to - from) * i / (count - 1));
}

Deno.test("exp is exact to 2 units in the last place wherever its result is normal", () => {
  assert.ok(largestError(exp, Math.exp, steps(-86.6, 88.72, 400_000)) < 2);
  assert.ok(largestError(exp, Math.exp, steps(-1, 1, 100_000)) < 2);
});

Deno.test("exp of special values", () => {
  const inputs = [0, -0, Infinity, 88.73, 1e30, -Infinity, -87.5, -104, -1e30, NaN, -NaN, 88.7228];
  const [zero, negativeZero, ...rest] = apply(exp, Float32Array.from(inputs));
  assert.equal(zero, 1);
  assert.equal(negativeZero, 1);
  const expected = [Infinity, Infinity, Infinity, 0, 0, 0, 0, NaN, NaN];
  assert.deepEqual(rest.slice(0, -1), expected);
  assert.ok(Number.isFinite(rest.at(-1)));
});

Deno.test("log is exact to 2 units in the last place for normal numbers", () => {
  // Logarithmic steps over all exponents, then the neighbourhood of 1, where the result is small.
  const all = Float32Array.from(steps(-125.9, 127.9, 400_000), (x) => 2 ** x);
  assert.ok(largestError(log, Math.log, all) < 2);
  const nearOne = steps(0.5, 2, 300_000).filter((x) => x !== 1);
  assert.ok(largestError(log, Math.log, nearOne.slice(0, 299_996)) < 2);
});

Deno.test("log of special values", () => {
  const results = apply(log, Float32Array.of(1, Infinity, NaN, 2 ** -126));
  assert.deepEqual([...results.slice(0, 3)], [0, Infinity, NaN]);
  assert.equal(results[3], Math.fround(-126 * Math.LN2));
});
