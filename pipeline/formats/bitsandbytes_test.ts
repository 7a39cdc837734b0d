import assert from "node:assert/strict";
import { DYNAMIC_MAP, NF4_LEVELS } from "../../kernels/nf4.ts";
import { fromNf4, type Nf4Tensors, parseNf4State } from "./bitsandbytes.ts";
import { dequantizeHost } from "./host_weight.ts";

const SHAPE = { rows: 2, columns: 64 };

/** Weights 0 to 15 again and again, in blocks with maxima 1 and 2. */
const PLAIN: Nf4Tensors = {
  weight: Uint8Array.from({ length: 64 }, (_, byte) => (2 * byte % 16) << 4 | (2 * byte + 1) % 16),
  absmax: Float32Array.of(1, 2),
  levels: Float32Array.from(NF4_LEVELS),
  nested: null,
};

const NESTED: Nf4Tensors = {
  ...PLAIN,
  absmax: Uint8Array.of(255, 0),
  nested: { absmax: Float32Array.of(0.5), levels: Float32Array.from(DYNAMIC_MAP) },
};

function state(changes: object): Uint8Array {
  const json = { quant_type: "nf4", blocksize: 64, dtype: "bfloat16", shape: [2, 64], ...changes };
  return new TextEncoder().encode(JSON.stringify(json));
}

Deno.test("the upper half of a byte is the first weight", () => {
  const weight = fromNf4(PLAIN, { nested: false, offset: 0 }, SHAPE, "layer");
  const expected = Float32Array.from(
    { length: 128 },
    (_, index) => (NF4_LEVELS[index % 16] ?? NaN) * (index < 64 ? 1 : 2),
  );
  assert.deepEqual(dequantizeHost(weight), expected);
});

Deno.test("nested maxima are table values times their maximum, plus the offset", () => {
  const weight = fromNf4(NESTED, { nested: true, offset: 3 }, SHAPE, "layer");
  const values = dequantizeHost(weight);
  // Codes 255 and 0 are 1 and -0.99296875.
  assert.equal(values[15], 0.5 + 3);
  assert.equal(values[64 + 15], Math.fround(0.5 * Math.fround(-0.99296875) + 3));
});

Deno.test("descriptions", () => {
  const parse = (bytes: Uint8Array, columns = 64) => parseNf4State(bytes, 2, columns, "name");
  assert.deepEqual(parse(state({})), { nested: false, offset: 0 });
  const nested = { nested_blocksize: 256, nested_dtype: "float32", nested_offset: 0.25 };
  assert.deepEqual(parse(state(nested)), { nested: true, offset: 0.25 });
  assert.throws(() => parse(Uint8Array.of(123)), /name holds no JSON text/);
  assert.throws(
    () => parse(state({ quant_type: "fp4" })),
    /name: this version reads NF4 .*quant_type/s,
  );
  assert.throws(() => parse(state({ blocksize: 128 })), /blocks of 64.*blocksize/s);
  assert.throws(() => parse(state({ ...nested, nested_blocksize: 128 })), /nested_blocksize/);
  assert.throws(() => parse(state({ nested_offset: 1 })), /come together/);
  assert.throws(() => parse(state({ shape: [64, 2] })), /64 x 2, but config\.json implies 2 x 64/);
  assert.throws(() => parse(state({ shape: [2, 96] }), 96), /do not divide its 96 inputs/);
});

Deno.test("tables of other data types are refused; the last bits of f32 are not", () => {
  const load = (changes: Partial<Nf4Tensors>, nested = false) =>
    fromNf4({ ...(nested ? NESTED : PLAIN), ...changes }, { nested, offset: 0 }, SHAPE, "layer");
  const near = PLAIN.levels.map((level) => level * (1 + 1e-7));
  load({ levels: near });
  const other = PLAIN.levels.slice();
  other[3] = -0.4;
  assert.throws(
    () => load({ levels: other }),
    /layer\.weight\.quant_map gives code 3 the value -0\.4/,
  );
  assert.throws(
    () => load({ levels: PLAIN.levels.slice(1) }),
    /has 15 values; a code stands for 16/,
  );
  const levels = Float32Array.from(DYNAMIC_MAP).reverse();
  assert.throws(
    () => load({ nested: { absmax: Float32Array.of(1), levels } }, true),
    /layer\.weight\.nested_quant_map gives code 0 the value 1,/,
  );
  assert.throws(() => load({ nested: null }, true), /holds codes, but nothing says of what/);
});
