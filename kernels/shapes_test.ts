import assert from "node:assert/strict";
import type { Tensor } from "./device.ts";
import * as shapes from "./shapes.ts";
import {
  adapter,
  attention,
  clipped,
  codebook,
  integer,
  nf4,
  tensor,
  VALID_CALLS,
} from "./testing/valid_calls.ts";

Deno.test("arguments that fit give the dimensions of the operation", () => {
  for (const { name, check, args, dimensions } of VALID_CALLS) {
    assert.deepEqual(check(args), dimensions, name);
  }
});

/** Tensors whose number of rows is free, because nothing else follows from it. */
const FREE_ROWS = ["columnSum input", "embedding table", "rope values"];

/** Tensors whose number of columns is free. */
const FREE_COLUMNS = ["gatherColumns input", "scatterColumns output"];

Deno.test("no tensor of any operation may have another shape or type", () => {
  for (const { name, check, args } of VALID_CALLS) {
    const found = tensorsOf(args);
    assert.ok(found.length >= 2, `${name} has tensors`);
    for (const { dtype, shape, label } of found) {
      const longer = shape.map((dimension, axis) => axis === 0 ? dimension + 1 : dimension);
      const wider = shape.map((d, axis) => axis === shape.length - 1 ? d + 1 : d);
      const otherType = dtype === "f32" ? "u32" : "f32";
      for (
        const changed of [
          ...(FREE_ROWS.includes(`${name} ${label}`) ? [] : [tensor(label, longer, dtype)]),
          ...(FREE_COLUMNS.includes(`${name} ${label}`) ? [] : [tensor(label, wider, dtype)]),
          tensor(label, shape, otherType),
        ]
      ) {
        assert.throws(
          () => check(replaceTensor(args, label, changed)),
          (error) => error instanceof RangeError && error.message.startsWith(name),
          `${name}: ${label} as ${changed.dtype} [${changed.shape}]`,
        );
      }
    }
  }
});

Deno.test("numbers that describe a weight, an adapter or attention must fit", () => {
  const lowRank = { ...adapter, output: tensor("output", [3, 12]) };
  const rope = {
    values: tensor("values", [6, 20]),
    cosines: tensor("cosines", [3, 6]),
    sines: tensor("sines", [3, 6]),
    heads: 2,
    headDim: 10,
    length: 3,
    layout: "half",
  } as const;
  const wrong: readonly [() => unknown, RegExp][] = [
    [() => shapes.checkWeight("op", { ...integer, blockRows: 3 }), /^op: blockRows, 3, does not/],
    [() => shapes.checkWeight("op", { ...integer, blockRows: 0 }), /blockRows is 0; it must be/],
    [() => shapes.checkWeight("op", { ...integer, blockColumns: 48 }), /group size\), 48, does/],
    [() => shapes.checkWeight("op", { ...nf4, columns: 32 }), /NF4 block, 64, does not divide/],
    [
      () => shapes.checkWeight("op", { ...codebook, blockColumns: 16 }),
      /chunk of packed codes, 32, does not divide blockColumns, 16/,
    ],
    [
      () => shapes.checkWeight("op", { ...codebook, blockColumns: 96 }),
      /blockColumns, 96, does not divide weight columns, 64/,
    ],
    [() => shapes.checkLowRank({ ...lowRank, pool: 3 }), /pool, 3, does not divide the input/],
    [() => shapes.checkLowRank({ ...lowRank, repeat: 5 }), /repeat, 5, does not divide the out/],
    [() => shapes.checkLowRank({ ...lowRank, pool: 0.5 }), /pool is 0.5; it must be a positive/],
    [() => shapes.checkLowRank({ ...lowRank, scale: NaN }), /scale is NaN; pass a finite number/],
    [
      () => shapes.checkLowRank({ ...lowRank, dropout: { ...adapter.dropout, stream: -1 } }),
      /dropout stream is -1; pass an integer in \[0, 2\^32\)/,
    ],
    [
      () => shapes.checkClippedQuantize({ ...clipped, groupSize: 0, output: tensor("y", [3, 32]) }),
      /groupSize is 0; it must be a positive/,
    ],
    [
      () => shapes.checkClippedQuantize({ ...clipped, bits: 1, output: tensor("y", [3, 32]) }),
      /a symmetric grid has at least 2 bits, not 1/,
    ],
    [
      () => shapes.checkWeight("op", { ...integer, bits: 5 as 4 }),
      /^op: the weight "codes" has 5 bits; allowed are 1, 2, 3, 4, 8$/,
    ],
    [() => shapes.checkAttention({ ...attention, headDim: 6 }), /4, does not divide headDim, 6/],
    [() => shapes.checkAttention({ ...attention, kvHeads: 3 }), /kvHeads, 3, does not divide/],
    [() => shapes.checkAttention({ ...attention, batch: 0 }), /batch is 0; it must be/],
    [() => shapes.checkAttention({ ...attention, window: 0 }), /window is 0; it must be/],
    [() => shapes.checkAttention({ ...attention, scale: Infinity }), /scale is Infinity/],
    [() => shapes.checkRope(rope), /6 columns, a rotary dimension of 12; headDim is only 10/],
    [() => shapes.checkRope({ ...rope, length: 0 }), /length is 0; it must be a positive/],
    [
      () =>
        shapes.checkGradientNorm({
          gradients: [tensor("ids", [3], "u32")],
          maxNorm: 1,
          output: tensor("norm", [2]),
        }),
      /^gradientNorm: gradients "ids" holds u32, but f32 is needed$/,
    ],
    [
      () => shapes.checkGradientNorm({ gradients: [], maxNorm: NaN, output: tensor("norm", [2]) }),
      /maxNorm is NaN/,
    ],
    [
      () => shapes.checkGradientNorm({ gradients: [], maxNorm: 1, output: tensor("norm", [1]) }),
      /output "norm" has shape \[1\], but \[2\] is needed/,
    ],
    [
      () => shapes.checkFill({ output: tensor("words", [1], "u32"), value: 2 ** 32 }),
      /the value is 4294967296/,
    ],
  ];
  for (const [check, message] of wrong) assert.throws(check, { name: "RangeError", message });
});

Deno.test("fill and gradientNorm count elements", () => {
  assert.deepEqual(shapes.checkFill({ output: tensor("x", [3, 4]), value: NaN }), { size: 12 });
  const gradients = [tensor("g", [3, 4]), tensor("h", [5])];
  const output = tensor("norm", [2]);
  assert.deepEqual(shapes.checkGradientNorm({ gradients, maxNorm: Infinity, output }), {
    size: 17,
  });
});

/** All tensors in an argument object, also those of weights. */
function tensorsOf(value: unknown): Tensor[] {
  if (typeof value !== "object" || value === null) return [];
  return isTensor(value) ? [value] : Object.values(value).flatMap(tensorsOf);
}

/** A copy of an argument object with another tensor at the place of the one with this label. */
function replaceTensor(value: unknown, label: string, tensor: Tensor): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (isTensor(value)) return value.label === label ? tensor : value;
  if (Array.isArray(value)) return value.map((part) => replaceTensor(part, label, tensor));
  return Object.fromEntries(
    Object.entries(value).map(([key, part]) => [key, replaceTensor(part, label, tensor)]),
  );
}

function isTensor(value: object): value is Tensor {
  return "dtype" in value && "shape" in value;
}
