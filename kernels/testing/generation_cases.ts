// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Conformance cases of generation: rotation at positions that tensors hold, the key-value cache, and
 * drawing tokens.
 *
 * @module
 */

import type { RopeLayout } from "../device.ts";
import { randomFloats } from "./arrays.ts";
import type { Case, Input } from "./case.ts";
import { attentionMagnitudes } from "./magnitudes.ts";

/** `rope` with sequences at different positions, some beyond the table. */
export function ropeAtPositionsCases(): Case[] {
  const shapes: readonly [number[], number, number, number, number, RopeLayout][] = [
    [[0], 1, 1, 4, 4, "half"],
    [[5, 0, 2], 1, 3, 8, 8, "half"],
    [[3, 11], 4, 2, 10, 4, "interleaved"],
    [[0, 7, 9], 5, 2, 16, 16, "half"],
  ];
  return shapes.map(([positions, length, heads, headDim, rotaryDim, layout]) => {
    const T = positions.length * length;
    const pairs = rotaryDim / 2;
    const table = 12;
    const label = `rope ${layout} at ${positions} length=${length} headDim=${headDim}`;
    const values = randomFloats(label, T * heads * headDim);
    const angles = randomFloats(`${label} angles`, table * pairs, -Math.PI, Math.PI);
    // |u cos| + |v sin| is at most |u| + |v|, and each pair's members are below 1.
    const magnitude = new Float64Array(values.length).fill(2);
    return {
      label,
      inputs: {
        cosines: { shape: [table, pairs], data: angles.map(Math.cos) },
        sines: { shape: [table, pairs], data: angles.map(Math.sin) },
        positions: words(positions),
      },
      outputs: { values: { shape: [T, heads * headDim], initial: values, terms: 2, magnitude } },
      record: (operations, tensor) =>
        operations.rope({
          values: tensor("values"),
          cosines: tensor("cosines"),
          sines: tensor("sines"),
          heads,
          headDim,
          length,
          layout,
          positions: tensor("positions"),
        }),
    };
  });
}

interface CacheSizes {
  readonly rows: number;
  readonly capacity: number;
  /** New tokens of each sequence. */
  readonly length: number;
  /** One for each sequence. */
  readonly slots: readonly number[];
  /** One for each sequence. */
  readonly positions: readonly number[];
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly window?: number;
}

const CACHES: readonly CacheSizes[] = [
  { rows: 1, capacity: 1, length: 1, slots: [0], positions: [0], heads: 1, kvHeads: 1, headDim: 4 },
  {
    rows: 4,
    capacity: 37,
    length: 1,
    slots: [3, 0, 1],
    positions: [0, 36, 20],
    heads: 6,
    kvHeads: 2,
    headDim: 16,
  },
  {
    rows: 2,
    capacity: 31,
    length: 1,
    slots: [1, 0],
    positions: [30, 3],
    heads: 4,
    kvHeads: 1,
    headDim: 12,
    window: 5,
  },
  {
    rows: 3,
    capacity: 40,
    length: 7,
    slots: [2, 0],
    positions: [33, 0],
    heads: 3,
    kvHeads: 3,
    headDim: 80,
  },
  {
    rows: 2,
    capacity: 70,
    length: 33,
    slots: [1, 0],
    positions: [0, 30],
    heads: 4,
    kvHeads: 2,
    headDim: 8,
    window: 9,
  },
  // More keys than a workgroup has invocations.
  {
    rows: 1,
    capacity: 300,
    length: 2,
    slots: [0],
    positions: [290],
    heads: 2,
    kvHeads: 1,
    headDim: 32,
  },
  // A short sequence and a long one, whose keys several workgroups divide.
  {
    rows: 2,
    capacity: 600,
    length: 1,
    slots: [1, 0],
    positions: [2, 555],
    heads: 2,
    kvHeads: 1,
    headDim: 8,
  },
  // Sequences that run over the end.
  {
    rows: 3,
    capacity: 9,
    length: 4,
    slots: [1, 2],
    positions: [7, 12],
    heads: 2,
    kvHeads: 2,
    headDim: 4,
  },
];

/** `appendToCache` at the ends of rows and beyond. */
export function appendToCacheCases(): Case[] {
  return CACHES.map((sizes) => {
    const { rows, capacity, length, slots, positions, kvHeads, headDim } = sizes;
    const label = `appendToCache ${describe(sizes)}`;
    const T = slots.length * length;
    const width = kvHeads * headDim;
    const shape = [rows, capacity, width];
    const size = rows * capacity * width;
    return {
      label,
      inputs: {
        keys: { shape: [T, width], data: randomFloats(`${label} keys`, T * width) },
        values: { shape: [T, width], data: randomFloats(`${label} values`, T * width) },
        slots: words(slots),
        positions: words(positions),
      },
      outputs: {
        keyCache: { shape, initial: randomFloats("k", size), terms: 1, magnitude: "exact" },
        valueCache: { shape, initial: randomFloats("v", size), terms: 1, magnitude: "exact" },
      },
      record: (operations, tensor) =>
        operations.appendToCache({
          keys: tensor("keys"),
          values: tensor("values"),
          keyCache: tensor("keyCache"),
          valueCache: tensor("valueCache"),
          slots: tensor("slots"),
          positions: tensor("positions"),
        }),
    };
  });
}

/** `cachedAttention` with NaN wherever nothing was written yet. */
export function cachedAttentionCases(): Case[] {
  return CACHES.map((sizes) => {
    const { rows, capacity, length, slots, positions, heads, kvHeads, headDim, window } = sizes;
    const label = `cachedAttention ${describe(sizes)}`;
    const batch = slots.length;
    const T = batch * length;
    const width = kvHeads * headDim;
    const queries = randomFloats(`${label} queries`, T * heads * headDim);
    const keys = new Float32Array(rows * capacity * width).fill(NaN);
    const values = keys.slice();
    slots.forEach((slot, b) => {
      const size = Math.min(positions[b]! + length, capacity) * width;
      keys.set(randomFloats(`${label} keys ${b}`, size), slot * capacity * width);
      values.set(randomFloats(`${label} values ${b}`, size), slot * capacity * width);
    });
    const shape = { heads, kvHeads, headDim, scale: Math.fround(1 / Math.sqrt(headDim)) };
    const magnitude = new Float64Array(queries.length);
    for (let t = 0; t < T; t++) {
      const b = Math.floor(t / length);
      const seen = Math.min(positions[b]! + t % length, capacity - 1) + 1;
      const start = slots[b]! * capacity * width;
      // The last query of as many tokens as this one sees.
      const all = new Float32Array(seen * heads * headDim);
      const own = queries.subarray(t * heads * headDim, (t + 1) * heads * headDim);
      all.set(own, (seen - 1) * heads * headDim);
      const { output } = attentionMagnitudes(
        all,
        keys.subarray(start, start + seen * width),
        values.subarray(start, start + seen * width),
        { ...shape, batch: 1, length: seen, window: window ?? seen },
      );
      magnitude.set(output.subarray((seen - 1) * heads * headDim), t * heads * headDim);
    }
    return {
      label,
      inputs: {
        queries: { shape: [T, heads * headDim], data: queries },
        keyCache: { shape: [rows, capacity, width], data: keys },
        valueCache: { shape: [rows, capacity, width], data: values },
        slots: words(slots),
        positions: words(positions),
      },
      outputs: {
        output: { shape: [T, heads * headDim], terms: headDim + capacity, magnitude },
      },
      record: (operations, tensor) =>
        operations.cachedAttention({
          ...shape,
          batch,
          length,
          ...(window === undefined ? {} : { window }),
          queries: tensor("queries"),
          keyCache: tensor("keyCache"),
          valueCache: tensor("valueCache"),
          slots: tensor("slots"),
          positions: tensor("positions"),
          output: tensor("output"),
        }),
    };
  });
}

interface SampleSizes {
  readonly batch: number;
  readonly V: number;
  readonly temperature: number;
  readonly topK?: number;
  readonly topP?: number;
  /** Logits are whole numbers, so that many are equal. */
  readonly ties?: true;
}

const SAMPLES: readonly SampleSizes[] = [
  { batch: 1, V: 1, temperature: 1 },
  { batch: 3, V: 7, temperature: 0 },
  { batch: 9, V: 1000, temperature: 0, ties: true },
  { batch: 33, V: 257, temperature: 1 },
  { batch: 9, V: 16, temperature: 0.7 },
  { batch: 33, V: 33, temperature: 1.5, topK: 5 },
  { batch: 33, V: 1000, temperature: 1, topP: 0.8 },
  { batch: 9, V: 2050, temperature: 0.8, topK: 40, topP: 0.5 },
  { batch: 9, V: 64, temperature: 1, topK: 3, ties: true },
  { batch: 9, V: 64, temperature: 1, topP: 0.3, ties: true },
  // Both zeros are the 32nd largest, and as likely as all that are larger.
  { batch: 65, V: 64, temperature: 50, topK: 32, ties: true },
  { batch: 3, V: 12, temperature: 2, topK: 1 },
  { batch: 3, V: 12, temperature: 2, topK: 99, topP: 1e-6 },
];

/** `sample`: vocabularies that do not divide, equal logits, and all settings. */
export function sampleCases(): Case[] {
  return SAMPLES.map(({ batch, V, temperature, topK, topP, ties }) => {
    const label = `sample batch=${batch} V=${V} temperature=${temperature} topK=${topK} ` +
      `topP=${topP}${ties ? " with ties" : ""}`;
    const random = randomFloats(label, batch * V, -4, 4);
    const logits = ties ? random.map(Math.round) : random;
    const magnitude = new Float64Array(batch).fill(1 + 8 + Math.log(V) + 8);
    return {
      label,
      inputs: {
        logits: { shape: [batch, V], data: logits },
        keys: { shape: [batch, 2], data: Uint32Array.from({ length: 2 * batch }, (_, i) => 7 * i) },
        counters: words(Array.from({ length: batch }, (_, b) => b % 5)),
      },
      outputs: {
        tokens: { shape: [batch], dtype: "u32", terms: 1, magnitude: "exact" },
        logProbabilities: { shape: [batch], terms: V, magnitude },
      },
      record: (operations, tensor) =>
        operations.sample({
          logits: tensor("logits"),
          keys: tensor("keys"),
          counters: tensor("counters"),
          temperature,
          ...(topK === undefined ? {} : { topK }),
          ...(topP === undefined ? {} : { topP }),
          tokens: tensor("tokens"),
          logProbabilities: tensor("logProbabilities"),
        }),
    };
  });
}

function describe(sizes: CacheSizes): string {
  const { rows, capacity, length, slots, positions, heads, kvHeads, headDim, window } = sizes;
  return `cache=${rows}x${capacity} length=${length} slots=${slots} positions=${positions} ` +
    `heads=${heads}/${kvHeads} headDim=${headDim}${window ? ` window=${window}` : ""}`;
}

function words(values: readonly number[]): Input {
  return { shape: [values.length], data: Uint32Array.from(values) };
}
