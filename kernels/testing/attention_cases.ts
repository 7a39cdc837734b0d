/**
 * Conformance cases of attention and rotary embeddings.
 *
 * @module
 */

import type { AttentionShape, RopeLayout } from "../device.ts";
import { attention } from "../reference/attention.ts";
import { rope } from "../reference/rope.ts";
import { randomFloats } from "./arrays.ts";
import type { Case, Input } from "./case.ts";
import { attentionGradientMagnitudes, attentionMagnitudes } from "./magnitudes.ts";

interface Sizes {
  readonly batch: number;
  readonly length: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly window?: number;
  /** Lengths of the examples that every sequence is packed with, first sequence first. */
  readonly examples?: readonly (readonly number[])[];
  /** Range of queries and keys; 8 makes scores of some hundreds, where a softmax must not overflow. */
  readonly range?: number;
}

const SIZES: readonly Sizes[] = [
  { batch: 1, length: 1, heads: 1, kvHeads: 1, headDim: 4 },
  { batch: 2, length: 7, heads: 3, kvHeads: 3, headDim: 12 },
  { batch: 1, length: 33, heads: 4, kvHeads: 2, headDim: 16 },
  { batch: 3, length: 31, heads: 4, kvHeads: 1, headDim: 8, window: 5 },
  { batch: 1, length: 65, heads: 2, kvHeads: 2, headDim: 80 },
  { batch: 1, length: 65, heads: 6, kvHeads: 2, headDim: 32, window: 33 },
  { batch: 2, length: 3, heads: 1, kvHeads: 1, headDim: 128, window: 1 },
  { batch: 1, length: 33, heads: 2, kvHeads: 1, headDim: 16, range: 8 },
  // Several blocks of queries and keys, the last ones partial, and windows that end inside blocks.
  { batch: 1, length: 203, heads: 2, kvHeads: 1, headDim: 20 },
  { batch: 2, length: 211, heads: 1, kvHeads: 1, headDim: 4, window: 101 },
  { batch: 1, length: 301, heads: 1, kvHeads: 1, headDim: 8, window: 20, range: 8 },
];

/**
 * Packed sequences: examples of one token, of a whole sequence, that end with a block of queries or keys
 * and beside one, that cover several blocks, and windows that end before examples and behind.
 */
const PACKED: readonly Sizes[] = [
  { batch: 1, length: 1, heads: 1, kvHeads: 1, headDim: 4, examples: [[1]] },
  { batch: 2, length: 7, heads: 3, kvHeads: 3, headDim: 12, examples: [[1, 1, 5], [7]] },
  {
    batch: 2,
    length: 33,
    heads: 4,
    kvHeads: 2,
    headDim: 16,
    examples: [[16, 1, 16], [8, 8, 8, 9]],
  },
  { batch: 1, length: 65, heads: 2, kvHeads: 2, headDim: 80, examples: [[31, 33, 1]] },
  {
    ...{ batch: 2, length: 31, heads: 4, kvHeads: 1, headDim: 8, window: 5 },
    examples: [[3, 4, 5, 6, 13], Array<number>(31).fill(1)],
  },
  { batch: 1, length: 203, heads: 2, kvHeads: 1, headDim: 20, examples: [[95, 97, 11]] },
  { batch: 1, length: 389, heads: 2, kvHeads: 1, headDim: 8, examples: [[1, 96, 200, 92]] },
  {
    ...{ batch: 2, length: 211, heads: 1, kvHeads: 1, headDim: 4, window: 101, range: 8 },
    examples: [[20, 150, 41], [211]],
  },
];

/** `attention` over head groups, windows and score ranges. */
export function attentionCases(): Case[] {
  return casesOf(SIZES);
}

/** `attention` of packed sequences. */
export function packedAttentionCases(): Case[] {
  return casesOf(PACKED);
}

function casesOf(all: readonly Sizes[]): Case[] {
  return all.map((sizes) => {
    const data = attentionData(sizes);
    const { shape, label, queries, keys, values, queryShape, keyShape } = data;
    const magnitudes = attentionMagnitudes(queries, keys, values, data.resolved);
    const terms = sizes.headDim + sizes.length;
    return {
      label: `attention ${label}`,
      inputs: {
        queries: { shape: queryShape, data: queries },
        keys: { shape: keyShape, data: keys },
        values: { shape: keyShape, data: values },
        ...data.startsInput,
      },
      outputs: {
        output: { shape: queryShape, terms, magnitude: magnitudes.output },
        logSumExp: { shape: data.statisticShape, terms, magnitude: magnitudes.logSumExp },
      },
      record: (operations, tensor) =>
        operations.attention({
          ...shape,
          queries: tensor("queries"),
          keys: tensor("keys"),
          values: tensor("values"),
          output: tensor("output"),
          logSumExp: tensor("logSumExp"),
          ...(sizes.examples && { starts: tensor("starts") }),
        }),
    };
  });
}

/** `attentionBackward` at the same shapes. */
export function attentionBackwardCases(): Case[] {
  return backwardCasesOf(SIZES);
}

/** `attentionBackward` of packed sequences. */
export function packedAttentionBackwardCases(): Case[] {
  return backwardCasesOf(PACKED);
}

function backwardCasesOf(all: readonly Sizes[]): Case[] {
  return all.map((sizes) => {
    const data = attentionData(sizes);
    const { shape, label, queries, keys, values, queryShape, keyShape } = data;
    const outputs = new Float64Array(queries.length);
    const statistics = new Float64Array(queries.length / sizes.headDim);
    attention(
      Float64Array.from(queries),
      Float64Array.from(keys),
      Float64Array.from(values),
      outputs,
      statistics,
      data.resolved,
    );
    const output = Float32Array.from(outputs);
    const logSumExp = Float32Array.from(statistics);
    const gradOutput = randomFloats(`${label} gradOutput`, queries.length);
    const magnitudes = attentionGradientMagnitudes(
      queries,
      keys,
      values,
      output,
      logSumExp,
      gradOutput,
      data.resolved,
    );
    const terms = sizes.headDim + sizes.length * sizes.heads / sizes.kvHeads;
    return {
      label: `attentionBackward ${label}`,
      inputs: {
        queries: { shape: queryShape, data: queries },
        keys: { shape: keyShape, data: keys },
        values: { shape: keyShape, data: values },
        ...data.startsInput,
        output: { shape: queryShape, data: output },
        logSumExp: { shape: data.statisticShape, data: logSumExp },
        gradOutput: { shape: queryShape, data: gradOutput },
      },
      outputs: {
        gradQueries: { shape: queryShape, terms, magnitude: magnitudes.gradQueries },
        gradKeys: { shape: keyShape, terms, magnitude: magnitudes.gradKeys },
        gradValues: { shape: keyShape, terms, magnitude: magnitudes.gradValues },
      },
      record: (operations, tensor) =>
        operations.attentionBackward({
          ...shape,
          queries: tensor("queries"),
          keys: tensor("keys"),
          values: tensor("values"),
          output: tensor("output"),
          logSumExp: tensor("logSumExp"),
          ...(sizes.examples && { starts: tensor("starts") }),
          gradOutput: tensor("gradOutput"),
          gradQueries: tensor("gradQueries"),
          gradKeys: tensor("gradKeys"),
          gradValues: tensor("gradValues"),
        }),
    };
  });
}

/** `rope` in both layouts, partial, inverse, and with more positions than the sequence is long. */
export function ropeCases(): Case[] {
  const shapes: readonly [number, number, number, number, number, RopeLayout, boolean][] = [
    [1, 1, 1, 2, 2, "half", false],
    [2, 7, 3, 8, 8, "half", false],
    [1, 33, 2, 10, 4, "half", true],
    [2, 7, 3, 8, 8, "interleaved", true],
    [3, 31, 2, 10, 4, "interleaved", false],
    [1, 65, 2, 64, 64, "half", true],
    // More tokens than one grid dimension has workgroups.
    [9377, 7, 1, 2, 2, "half", false],
  ];
  return shapes.map(([batch, length, heads, headDim, rotaryDim, layout, inverse]) => {
    const T = batch * length;
    const pairs = rotaryDim / 2;
    const positions = length + 2;
    const label = `rope ${layout}${inverse ? " inverse" : ""} batch=${batch} length=${length} ` +
      `heads=${heads} headDim=${headDim} rotaryDim=${rotaryDim}`;
    const values = randomFloats(label, T * heads * headDim);
    const angles = randomFloats(`${label} angles`, positions * pairs, -Math.PI, Math.PI);
    const cosines = angles.map(Math.cos);
    const sines = angles.map(Math.sin);
    // |u cos| + |v sin| of either member of a pair: with all sines negative it is the first member,
    // with all positive the second.
    const terms = [true, false].map((inverse) => {
      const turned = Float64Array.from(values, Math.abs);
      rope(
        turned,
        Float64Array.from(cosines, Math.abs),
        Float64Array.from(sines, Math.abs),
        { T, heads, headDim, rotaryDim, length },
        layout,
        inverse,
      );
      return turned;
    });
    const magnitude = Float64Array.from(
      { length: values.length },
      (_, i) => Math.max(...terms.map((term) => term[i] ?? 0)),
    );
    return {
      label,
      inputs: {
        cosines: { shape: [positions, pairs], data: cosines },
        sines: { shape: [positions, pairs], data: sines },
      },
      outputs: {
        values: { shape: [T, heads * headDim], initial: values, terms: 2, magnitude },
      },
      record: (operations, tensor) =>
        operations.rope({
          values: tensor("values"),
          cosines: tensor("cosines"),
          sines: tensor("sines"),
          heads,
          headDim,
          length,
          layout,
          ...(inverse ? { inverse } : {}),
        }),
    };
  });
}

function attentionData(sizes: Sizes) {
  const { batch, length, heads, kvHeads, headDim, window, examples, range = 1 } = sizes;
  const T = batch * length;
  const starts = examples?.flatMap((lengths) => {
    let start = 0;
    return lengths.flatMap((size) => Array<number>(size).fill((start += size) - size));
  });
  const label = `batch=${batch} length=${length} heads=${heads}/${kvHeads} headDim=${headDim}` +
    `${window ? ` window=${window}` : ""}${range === 1 ? "" : ` range=${range}`}` +
    (examples ? ` examples=${examples.map((lengths) => lengths.join("+")).join(" and ")}` : "");
  const shape: AttentionShape = {
    batch,
    length,
    heads,
    kvHeads,
    headDim,
    scale: Math.fround(1 / Math.sqrt(headDim)),
    ...(window ? { window } : {}),
  };
  return {
    label,
    shape,
    resolved: { ...shape, window: window ?? length, ...(starts && { starts }) },
    startsInput:
      (starts ? { starts: { shape: [T], data: Uint32Array.from(starts) } } : {}) as Record<
        string,
        Input
      >,
    queryShape: [T, heads * headDim],
    keyShape: [T, kvHeads * headDim],
    statisticShape: [T, heads],
    queries: randomFloats(`${label} queries`, T * heads * headDim, -range, range),
    keys: randomFloats(`${label} keys`, T * kvHeads * headDim, -range, range),
    values: randomFloats(`${label} values`, T * kvHeads * headDim),
  };
}
