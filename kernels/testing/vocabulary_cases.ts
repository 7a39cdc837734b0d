// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Conformance cases of embedding and cross-entropy.
 *
 * @module
 */

import { randomFloats, randomIntegers } from "./arrays.ts";
import type { Case, Output } from "./case.ts";
import { crossEntropyMagnitudes } from "./magnitudes.ts";
import {
  dequantized,
  randomDense,
  randomInteger,
  randomNf4,
  type WeightData,
  weightMagnitudes,
} from "./weights.ts";

const EMBEDDINGS: readonly [T: number, V: number, D: number][] = [
  [1, 1, 1],
  [7, 3, 33],
  [65, 31, 7],
  [33, 129, 64],
  [7, 65_536 + 77, 3], // more rows than one grid dimension has workgroups
];

/** `embedding`. */
export function embeddingCases(): Case[] {
  return EMBEDDINGS.map(([T, V, D]) => {
    const label = `embedding T=${T} V=${V} D=${D}`;
    return {
      label,
      inputs: {
        tokens: { shape: [T], data: randomIntegers(label, T, V) },
        table: { shape: [V, D], data: randomFloats(label, V * D) },
      },
      outputs: { output: { shape: [T, D], terms: 1, magnitude: "exact" } },
      record: (operations, tensor) =>
        operations.embedding({
          tokens: tensor("tokens"),
          table: tensor("table"),
          output: tensor("output"),
        }),
    };
  });
}

/** `embeddingBackward`: repeated and absent tokens, and one token at all positions. */
export function embeddingBackwardCases(): Case[] {
  const tokens = EMBEDDINGS.map(([T, V]) => randomIntegers(`tokens ${T} ${V}`, T, V));
  tokens.push(new Uint32Array(65).fill(2));
  return [...EMBEDDINGS, [65, 5, 33] as const].map(([T, V, D], index) => {
    const label = `embeddingBackward T=${T} V=${V} D=${D}`;
    const { order, offsets } = inverseIndex(tokens[index] ?? new Uint32Array(T), V);
    return {
      label,
      inputs: {
        gradOutput: { shape: [T, D], data: randomFloats(label, T * D) },
        order: { shape: [T], data: order },
        offsets: { shape: [V + 1], data: offsets },
      },
      outputs: {
        gradTable: {
          shape: [V, D],
          initial: randomFloats(`${label} gradTable`, V * D),
          terms: T,
          magnitude: "absolute",
        },
      },
      record: (operations, tensor) =>
        operations.embeddingBackward({
          gradOutput: tensor("gradOutput"),
          order: tensor("order"),
          offsets: tensor("offsets"),
          gradTable: tensor("gradTable"),
        }),
    };
  });
}

/** A `crossEntropy` to be made a case of. */
export interface HeadShape {
  /** Tokens. */
  readonly T: number;
  /** The head, `[V, D]`. */
  readonly head: WeightData;
  /** What is differentiated. */
  readonly gradients: "none" | "hidden" | "both";
  /** Range of hidden states; large values make a softmax overflow that is not shifted. */
  readonly range?: number;
  /** All tokens masked. */
  readonly weights?: "zero";
}

/** `crossEntropy`: masked tokens, several chunks of tokens, a wide vocabulary, packed heads. */
export function crossEntropyCases(): Case[] {
  const shapes: readonly HeadShape[] = [
    { T: 1, head: randomDense("head a", 1, 1), gradients: "both" },
    { T: 7, head: randomDense("head b", 31, 3), gradients: "both" },
    { T: 65, head: randomDense("head c", 257, 33), gradients: "both" },
    { T: 65, head: randomDense("head c", 257, 33), gradients: "hidden" },
    { T: 65, head: randomDense("head c", 257, 33), gradients: "none" },
    { T: 300, head: randomDense("head d", 33, 8), gradients: "both" },
    { T: 3, head: randomDense("head e", 9001, 8), gradients: "both" },
    // 18 MB of logits: on a device with little memory, two chunks of tokens.
    { T: 70, head: randomDense("head i", 65_536 + 77, 4), gradients: "both" },
    { T: 7, head: randomDense("head b", 31, 3), gradients: "both", range: 200 },
    { T: 7, head: randomDense("head b", 31, 3), gradients: "both", weights: "zero" },
    { T: 33, head: randomInteger("head f", 130, 64, 4, 1, 32), gradients: "hidden" },
    { T: 33, head: randomInteger("head g", 130, 64, 8, 1, 64), gradients: "none" },
    { T: 33, head: randomNf4("head h", 130, 64, "double"), gradients: "hidden" },
  ];
  return shapes.map(crossEntropyCase);
}

/** One case of `crossEntropy`. */
export function crossEntropyCase(
  { T, head, gradients, range = 1, weights: kind }: HeadShape,
): Case {
  const { rows: V, columns: D } = head;
  const label = `crossEntropy ${head.format} T=${T} D=${D} V=${V} gradients=${gradients} ` +
    `range=${range}${kind === "zero" ? " all masked" : ""}`;
  const hidden = randomFloats(`${label} hidden`, T * D, -range, range);
  const targets = randomIntegers(`${label} targets`, T, V);
  const weights = kind === "zero" ? new Float32Array(T) : randomFloats(label, T, 0.25, 1);
  // Every third token of a longer sequence is masked, and its target is nonsense that must not matter.
  const masked = (t: number) => T > 1 && t % 3 === 1;
  for (let t = 0; t < T; t++) {
    if (masked(t)) weights[t] = 0;
    if (weights[t] === 0) targets[t] = 0xffffffff;
  }
  const magnitudes = crossEntropyMagnitudes(
    hidden,
    dequantized(head),
    weightMagnitudes(head),
    targets,
    weights,
    D,
  );
  const initial = randomFloats(`${label} gradHead`, V * D);
  const gradHead: Output = {
    shape: [V, D],
    initial,
    terms: D + V + T,
    magnitude: magnitudes.gradHead.map((size, i) => size + Math.abs(initial[i]!)),
  };
  const gradHidden: Output = {
    shape: [T, D],
    terms: D + V,
    magnitude: magnitudes.gradHidden,
  };
  return {
    label,
    weight: head,
    inputs: {
      hidden: { shape: [T, D], data: hidden },
      targets: { shape: [T], data: targets },
      weights: { shape: [T], data: weights },
    },
    outputs: {
      losses: { shape: [T], terms: D + V, magnitude: magnitudes.losses },
      ...(gradients !== "none" ? { gradHidden } : {}),
      ...(gradients === "both" ? { gradHead } : {}),
    },
    record: (operations, tensor, weight) =>
      operations.crossEntropy({
        hidden: tensor("hidden"),
        head: weight,
        targets: tensor("targets"),
        weights: tensor("weights"),
        losses: tensor("losses"),
        ...(gradients !== "none" ? { gradHidden: tensor("gradHidden") } : {}),
        ...(gradients === "both" ? { gradHead: tensor("gradHead") } : {}),
      }),
  };
}

/** Positions sorted by token (stable), and where the run of each token starts. */
export function inverseIndex(
  tokens: Uint32Array,
  vocabulary: number,
): { order: Uint32Array; offsets: Uint32Array } {
  const order = Uint32Array.from(tokens.keys())
    .sort((left, right) => tokens[left]! - tokens[right]! || left - right);
  const offsets = new Uint32Array(vocabulary + 1);
  for (let v = 0, position = 0; v < vocabulary; v++) {
    while (position < order.length && tokens[order[position]!] === v) position++;
    offsets[v + 1] = position;
  }
  return { order, offsets };
}
