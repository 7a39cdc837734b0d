import assert from "node:assert/strict";
import { DYNAMIC_MAP, NF4_LEVELS } from "../../kernels/nf4.ts";
import { unpackCodes } from "../../kernels/packing.ts";
import { RandomStream } from "../../kernels/random.ts";
import { findPython } from "../environment/oracles.ts";
import {
  dequantizeAbsmax,
  dequantizeHost,
  type HostNf4Weight,
  weightBytes,
} from "../formats/host_weight.ts";
import { nf4 } from "./nf4.ts";
import { testUnless } from "../../tests/support/optional.ts";

function quantize(
  weights: Float32Array,
  rows: number,
  columns: number,
  double_quantization: boolean,
): HostNf4Weight {
  const weight = nf4.quantize(weights, rows, columns, { method: "nf4", double_quantization }, "w");
  assert(weight.format === "nf4");
  return weight;
}

function gaussian(count: number, seed: number): Float32Array {
  const stream = new RandomStream(seed, "nf4 test");
  return Float32Array.from({ length: count }, (_, index) => 0.02 * stream.normal(index));
}

function maximaOf(weights: Float32Array): number[] {
  return Array.from(
    { length: weights.length / 64 },
    (_, block) => Math.max(...weights.subarray(64 * block, 64 * block + 64).map(Math.abs)),
  );
}

/** The midpoints as the released code prints them (balanced-adapters notes, section 2.1). */
const THRESHOLDS = [
  -0.8480964004993439,
  -0.6106329262256622,
  -0.4599952697753906,
  -0.33967943489551544,
  -0.23460740596055984,
  -0.13791173323988914,
  -0.045525018125772476,
  0.03979014977812767,
  0.1202552504837513,
  0.2035212516784668,
  0.2920137718319893,
  0.3893125355243683,
  0.5016634166240692,
  0.6427869200706482,
  0.8614784181118011,
];

Deno.test("level table: sorted, ends at -1 and 1, 7 negative, 8 positive", () => {
  assert.equal(NF4_LEVELS.length, 16);
  assert.deepEqual([...NF4_LEVELS].sort((a, b) => a - b), [...NF4_LEVELS]);
  assert.equal(NF4_LEVELS.filter((level) => level < 0).length, 7);
  assert.equal(NF4_LEVELS.filter((level) => level > 0).length, 8);
  assert.equal(NF4_LEVELS[0], -1);
  assert.equal(NF4_LEVELS[7], 0);
  assert.equal(NF4_LEVELS[15], 1);
});

Deno.test("dynamic map: 256 levels, strictly increasing, -0.99296875 to 1", () => {
  assert.equal(DYNAMIC_MAP.length, 256);
  DYNAMIC_MAP.slice(1).forEach((level, index) => assert(level > (DYNAMIC_MAP[index] as number)));
  assert.equal(DYNAMIC_MAP[0], Math.fround(-0.99296875));
  assert.equal(DYNAMIC_MAP[255], 1);
});

Deno.test("codes change just above the published thresholds", () => {
  THRESHOLDS.forEach((threshold, index) => {
    const weights = new Float32Array(64);
    weights[0] = 1; // absmax
    weights[1] = threshold - 1e-6;
    weights[2] = threshold + 1e-6;
    const codes = unpackCodes(quantize(weights, 1, 64, false).codes, 4, 1, 64);
    assert.deepEqual([codes[0], codes[1], codes[2]], [15, index, index + 1]);
  });
});

Deno.test("a tie goes down", () => {
  // Halves of a float32 are float32s: the midpoints on both sides of level 0.
  const weights = new Float32Array(64);
  weights.set([1, 0.07958029955625534 / 2, -0.09105003625154495 / 2]);
  const codes = unpackCodes(quantize(weights, 1, 64, false).codes, 4, 1, 64);
  assert.deepEqual([codes[1], codes[2]], [7, 6]);
});

Deno.test("quantize and restore is idempotent without double quantization", () => {
  const weights = gaussian(8 * 128, 1);
  const first = quantize(weights, 8, 128, false);
  const second = quantize(dequantizeHost(first), 8, 128, false);
  assert.deepEqual(second, first);
});

Deno.test("error is at most half the widest gap of the table", () => {
  const weights = gaussian(8 * 128, 2);
  const restored = dequantizeHost(quantize(weights, 8, 128, false));
  const maxima = maximaOf(weights);
  weights.forEach((value, index) => {
    const bound = 0.152 * (maxima[Math.floor(index / 64)] as number);
    assert(Math.abs(value - (restored[index] as number)) <= bound);
  });
});

Deno.test("double quantization: 4.127 bits, block maxima within 1 %, same weight error", () => {
  const [rows, columns] = [256, 256];
  const weights = gaussian(rows * columns, 3);
  const plain = quantize(weights, rows, columns, false);
  const double = quantize(weights, rows, columns, true);
  assert.deepEqual(double.codes, plain.codes);
  assert.equal(8 * weightBytes(plain) / (rows * columns), 4.5);
  // 4 + 8/64 + 32/(64 * 256), and 32 bits of mean for the whole matrix.
  assert.equal(
    8 * weightBytes(double) / (rows * columns),
    4 + 8 / 64 + 32 / (64 * 256) + 32 / (rows * columns),
  );
  assert.match(
    nf4.describe({ method: "nf4", double_quantization: true }),
    /4\.127 bits per weight/,
  );
  const maxima = maximaOf(weights);
  dequantizeAbsmax(double.absmax, maxima.length).forEach((value, block) => {
    const maximum = maxima[block] as number;
    assert(Math.abs(value - maximum) < 0.01 * maximum);
  });
  const relativeError = (weight: HostNf4Weight) => {
    const restored = dequantizeHost(weight);
    let error = 0;
    let norm = 0;
    weights.forEach((value, index) => {
      error += (value - (restored[index] as number)) ** 2;
      norm += value ** 2;
    });
    return Math.sqrt(error / norm);
  };
  // Known for N(0, 0.02^2): 0.09194 and 0.09196.
  assert(Math.abs(relativeError(plain) - 0.0919) < 0.0005);
  assert(Math.abs(relativeError(double) - relativeError(plain)) < 0.0002);
});

Deno.test("zero blocks and equal blocks stay finite", () => {
  for (const fill of [0, 0.5, -0.5]) {
    for (const double of [false, true]) {
      const weights = new Float32Array(2 * 128).fill(fill);
      assert.deepEqual([...dequantizeHost(quantize(weights, 2, 128, double))], [...weights]);
    }
  }
  const mixed = new Float32Array(128);
  mixed.fill(1, 64);
  const restored = dequantizeHost(quantize(mixed, 1, 128, true));
  assert(restored.subarray(0, 64).every((value) => value === 0));
});

Deno.test("inputs that are no multiple of 64, and NaN, are refused", () => {
  assert.throws(
    () => quantize(new Float32Array(96), 1, 96, true),
    /block of 64 does not divide its 96/,
  );
  assert.throws(() => quantize(new Float32Array(64).fill(NaN), 1, 64, true), /is NaN/);
});

const NUMPY = `
import json, sys
import numpy as np
request = json.load(sys.stdin)
w = np.array(request["weights"], dtype=np.float64).reshape(-1, 64)
levels = np.array(request["levels"])
c1 = np.abs(w).max(1)
codes = np.abs((w / c1[:, None])[..., None] - levels).argmin(-1)
cells = [(np.linspace(.1, 1, 2 ** i + 1)[:-1] + np.linspace(.1, 1, 2 ** i + 1)[1:]) / 2 * 10.0 ** (i - 6) for i in range(7)]
signed = np.concatenate(cells)
table = np.sort(np.concatenate([signed, -signed, [0, 1]]))
mu = c1.mean()
restored = np.empty_like(c1)
for start in range(0, len(c1), 256):
    block = c1[start:start + 256] - mu
    c2 = np.abs(block).max()
    restored[start:start + 256] = table[np.abs(block[:, None] / c2 - table).argmin(-1)] * c2 + mu
print(json.dumps((levels[codes] * restored[:, None]).ravel().tolist()))
`;

const python = await findPython(["numpy"]);
const missing = python === null ? "no Python with NumPy" : null;

testUnless(missing, "double quantization against NumPy in float64", async () => {
  const weights = gaussian(40 * 512, 4);
  const child = new Deno.Command(python ?? "", {
    args: ["-c", NUMPY],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(
    new TextEncoder().encode(JSON.stringify({ weights: [...weights], levels: NF4_LEVELS })),
  );
  await writer.close();
  const { success, stdout, stderr } = await child.output();
  assert(success, new TextDecoder().decode(stderr));
  const expected: number[] = JSON.parse(new TextDecoder().decode(stdout));
  const restored = dequantizeHost(quantize(weights, 40, 512, true));
  // Rounding to f32 may move a block maximum across a midpoint of the dynamic map, so that a whole
  // block differs; among 320 blocks that is at most a rare one.
  let different = 0;
  for (let start = 0; start < weights.length; start += 64) {
    const errors = expected.slice(start, start + 64)
      .map((value, index) => Math.abs(value - (restored[start + index] as number)));
    if (Math.max(...errors) > 1e-7) different++;
  }
  assert(different <= 1, `${different} of ${weights.length / 64} blocks differ`);
});
