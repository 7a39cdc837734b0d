/**
 * Gradients of keys and values: what every query head gives, summed over the heads of a group.
 *
 * @module
 */

import { paddedDim } from "./attention_panels.ts";
import { at, kernel } from "./kernel.ts";
import { f32x4, i32, i64, v128 } from "./wasm/expression.ts";

/** `output [tokens, kvHeads * headDim]` = the sum of `parts` over the query heads of a group. */
export const groupSumKernel = kernel(
  "attentionGroupSum",
  {
    /** `[batch, heads, paddedLength, paddedDim]`. */
    parts: "tensor",
    output: "tensor",
    batch: "i32",
    length: "i32",
    paddedLength: "i32",
    heads: "i32",
    kvHeads: "i32",
    headDim: "i32",
  },
  (f, p) => {
    const { heads, kvHeads, headDim, length } = p;
    const padded = f.let(paddedDim(headDim));
    const group = f.let(i32.divU(heads, kvHeads));
    const headStride = f.let(
      i64.mul(i64.extendU(p.paddedLength), i64.mul(i64.extendU(padded), 4)),
    );
    f.tasks(i32.mul(p.batch, length), (token) => {
      const sequence = i32.mul(i32.divU(token, length), heads);
      const position = i32.remU(token, length);
      const first = i32.add(i32.mul(sequence, p.paddedLength), position);
      const rowStride = i64.mul(i64.extendU(padded), 4);
      const headPart = f.let(i64.add(p.parts, i64.mul(i64.extendU(first), rowStride)));
      const width = i64.mul(i64.extendU(i32.mul(kvHeads, headDim)), 4);
      const output = f.let(i64.add(p.output, i64.mul(i64.extendU(token), width)));
      f.for(0, kvHeads, 1, () => {
        f.for(0, headDim, 4, (feature) => {
          const address = f.let(at(headPart, feature));
          const sum = f.let(v128.load(address));
          f.for(1, group, 1, () => {
            f.set(address, i64.add(address, headStride));
            f.set(sum, f32x4.add(sum, v128.load(address)));
          });
          f.do(v128.store(at(output, feature), sum));
        });
        f.set(headPart, i64.add(headPart, i64.mul(i64.extendU(group), headStride)));
        f.set(output, at(output, headDim));
      });
    });
  },
);
