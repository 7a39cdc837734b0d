// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  bfloat16ToFloat32,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
} from "./half_precision.ts";

const ALL_BITS = Uint16Array.from({ length: 65536 }, (_, bits) => bits);

/** IEEE 754 by its definition: sign, exponent and fraction fields. */
function decode(bits: number, exponentBits: number): number {
  const fractionBits = 15 - exponentBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  const sign = bits >>> 15 ? -1 : 1;
  const exponent = (bits >>> fractionBits) & (2 ** exponentBits - 1);
  const fraction = (bits & (2 ** fractionBits - 1)) / 2 ** fractionBits;
  if (exponent === 2 ** exponentBits - 1) return fraction ? NaN : sign * Infinity;
  if (exponent === 0) return sign * fraction * 2 ** (1 - bias);
  return sign * (1 + fraction) * 2 ** (exponent - bias);
}

/** The nearest of all finite values of a format, ties to the even fraction, found by bisection. */
function nearest(value: number, exponentBits: number): number {
  const magnitude = Math.abs(value);
  let below = 0;
  let above = (2 ** exponentBits - 1) << (15 - exponentBits); // infinity
  while (above - below > 1) {
    const middle = (below + above) >>> 1;
    if (decode(middle, exponentBits) <= magnitude) below = middle;
    else above = middle;
  }
  // Infinity stands for the next power of two, as if the exponent had one more value.
  const lower = decode(below, exponentBits);
  const upper = decode(above, exponentBits);
  const upperValue = upper === Infinity ? 2 ** (2 ** (exponentBits - 1)) : upper;
  const roundsUp = upperValue - magnitude < magnitude - lower ||
    (upperValue - magnitude === magnitude - lower && above % 2 === 0);
  return Math.sign(value) * (roundsUp ? upper : lower);
}

for (
  const [name, exponentBits, toFloats, toBits] of [
    ["float16", 5, float16ToFloat32, float32ToFloat16],
    ["bfloat16", 8, bfloat16ToFloat32, float32ToBfloat16],
  ] as const
) {
  Deno.test(`${name} decodes every bit pattern by the definition`, () => {
    const floats = toFloats(ALL_BITS);
    for (let bits = 0; bits < 65536; bits++) {
      assert.ok(
        Object.is(floats[bits], decode(bits, exponentBits)),
        `0x${bits.toString(16)}: ${floats[bits]}`,
      );
    }
  });

  Deno.test(`${name} encodes every value it can hold as itself, NaN as NaN`, () => {
    const bits = toBits(toFloats(ALL_BITS));
    const infinity = (2 ** exponentBits - 1) << (15 - exponentBits);
    for (let i = 0; i < 65536; i++) {
      if ((i & 0x7fff) > infinity) assert.ok((bits[i]! & 0x7fff) > infinity, "NaN stays NaN");
      else assert.equal(bits[i], i);
    }
  });

  Deno.test(`${name} rounds to the nearest value, ties to even`, () => {
    const float32 = fc.oneof(
      fc.float({ noNaN: true }),
      fc.float({ min: -70000, max: 70000, noNaN: true }),
      fc.float({ min: Math.fround(-1e-7), max: Math.fround(1e-7), noNaN: true }),
    );
    fc.assert(
      fc.property(float32, (value) => {
        const [rounded] = toFloats(toBits(Float32Array.of(value)));
        const wanted = Number.isFinite(value) ? nearest(value, exponentBits) : value;
        assert.equal(rounded! + 0, wanted + 0);
      }),
      { seed: 7, numRuns: 2000 },
    );
    for (let bits = 0; bits < 0x7c00; bits += 0x3ff) { // halfway between neighbours
      const [low, high] = toFloats(Uint16Array.of(bits, bits + 1));
      const middle = (low! + high!) / 2;
      if (Math.fround(middle) !== middle) continue;
      assert.equal(toBits(Float32Array.of(middle))[0], bits + (bits % 2));
    }
  });
}

Deno.test("float32ToBfloat16() keeps a NaN whose payload is in the lower half", () => {
  const nan = new Float32Array(Uint32Array.of(0x7f800001, 0xff800001).buffer);
  assert.deepEqual([...bfloat16ToFloat32(float32ToBfloat16(nan))], [NaN, NaN]);
});
