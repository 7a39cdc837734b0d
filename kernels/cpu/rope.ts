/**
 * Rotary position embedding (Su et al. 2021), in place.
 *
 * @module
 */

import { type Arguments, checkRope } from "../shapes.ts";
import { at, kernel, type LocalsOf } from "./kernel.ts";
import type { Recorder } from "./recorder.ts";
import { overVectors, perRow } from "./vectors.ts";
import { f32, f32x4, i32, i64 } from "./wasm/expression.ts";
import type { FunctionBuilder, Local } from "./wasm/function.ts";

const PARAMETERS = {
  values: "tensor",
  cosines: "tensor",
  sines: "tensor",
  /** Tokens before those of each sequence; may be absent. */
  positions: "tensor",
  tokens: "i32",
  length: "i32",
  heads: "i32",
  headDim: "i32",
  pairs: "i32",
  /** The last row of `cosines` and `sines`. */
  lastAngle: "i32",
  /** 1, or -1 to turn back. */
  direction: "f32",
} as const;

/** Turns the pairs of one head: `(u, v) <- (u cos - v sin, v cos + u sin)`. */
type Turn = (
  f: FunctionBuilder,
  p: LocalsOf<typeof PARAMETERS>,
  head: Local<"i64">,
  cosines: Local<"i64">,
  sines: Local<"i64">,
) => void;

function ropeKernel(name: string, turn: Turn) {
  return kernel(name, PARAMETERS, (f, p) => {
    const width = f.let(i32.mul(p.heads, p.headDim));
    perRow(f, p.tokens, width, (token) => {
      const position = f.let(i32.remU(token, p.length));
      f.if(i64.ltU(i64.const(0), p.positions), () => {
        const sequence = i32.divU(token, p.length);
        // No further than the last angle: adding up to 2^32 would start again at 0.
        const before = f.let(i32.load(at(p.positions, sequence)));
        f.set(before, i32.minU(before, p.lastAngle));
        f.set(position, i32.add(position, before));
      });
      const angle = f.let(i32.mul(i32.minU(position, p.lastAngle), p.pairs));
      const cosines = f.let(at(p.cosines, angle));
      const sines = f.let(at(p.sines, angle));
      const head = f.let(i64.add(p.values, i64.mul(i64.extendU(token), at(i64.const(0), width))));
      f.for(0, p.heads, 1, () => {
        turn(f, p, head, cosines, sines);
        f.set(head, at(head, p.headDim));
      });
    });
  });
}

/** Pairs of feature `i` and feature `i + pairs`. */
const halfKernel = ropeKernel("rope_half", (f, p, head, cosines, sines) => {
  const other = f.let(at(head, p.pairs));
  const direction = f.let(f32x4.splat(p.direction));
  overVectors(f, 0, p.pairs, 2, ({ load, store }) => {
    const firsts = load(head);
    const seconds = load(other);
    const cosine = load(cosines);
    const sine = load(sines).map((value) => f.let(f32x4.mul(value, direction)));
    const turned = firsts.map((u, i) => {
      const [v, c, s] = [seconds[i], cosine[i], sine[i]] as Local<"v128">[] as Triple;
      return {
        u: f.let(f32x4.relaxedNmadd(v, s, f32x4.mul(u, c))),
        v: f.let(f32x4.relaxedMadd(u, s, f32x4.mul(v, c))),
      };
    });
    store(head, turned.map(({ u }) => u));
    store(other, turned.map(({ v }) => v));
  });
});

type Triple = [Local<"v128">, Local<"v128">, Local<"v128">];

/** Pairs of features `2 i` and `2 i + 1`. */
const interleavedKernel = ropeKernel("rope_interleaved", (f, p, head, cosines, sines) => {
  const pair = f.let<"i64">(head);
  f.for(0, p.pairs, 1, (i) => {
    const u = f.let(f32.load(pair));
    const v = f.let(f32.load(pair, 4));
    const cosine = f.let(f32.load(at(cosines, i)));
    const sine = f.let(f32.mul(f32.load(at(sines, i)), p.direction));
    f.do(
      f32.store(pair, f32.sub(f32.mul(u, cosine), f32.mul(v, sine))),
      f32.store(pair, f32.add(f32.mul(v, cosine), f32.mul(u, sine)), 4),
    );
    f.set(pair, i64.add(pair, 8));
  });
});

/** Kernels of this file. */
export const ropeKernels = [halfKernel, interleavedKernel];

/** Records {@linkcode Operations.rope}. */
export function rope(recorder: Recorder, args: Arguments<"rope">): void {
  const { T, rotaryDim } = checkRope(args);
  const { values, cosines, sines, positions = null, length, heads, headDim } = args;
  recorder.call(args.layout === "half" ? halfKernel : interleavedKernel, {
    ...{ values, cosines, sines, positions, length, heads, headDim },
    tokens: T,
    pairs: rotaryDim / 2,
    lastAngle: (cosines.shape[0] ?? 1) - 1,
    direction: args.inverse ? -1 : 1,
  });
}
