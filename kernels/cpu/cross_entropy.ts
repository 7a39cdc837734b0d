/**
 * Cross-entropy of a language-model head over chunks of tokens: the logits of one chunk at a time,
 * turned into their own gradient in place, as in Liger Kernel (Hsu et al. 2024).
 *
 * @module
 */

import { type Tensor, VIEW_ALIGNMENT, type Weight } from "../device.ts";
import type { Arguments } from "../shapes.ts";
import { plainAbsmax } from "./absmax.ts";
import { at, kernel, type KernelBuilder, laneSum } from "./kernel.ts";
import { linear, linearTransposed, matmul } from "./linear.ts";
import { exp, log } from "./math.ts";
import type { Recorder } from "./recorder.ts";
import { cpuTensor, viewOf } from "./tensor.ts";
import { overVectors, sumOf, zeros } from "./vectors.ts";
import { type Expression, f32, f32x4, i32, i64, v128 } from "./wasm/expression.ts";
import type { FunctionBuilder, Local } from "./wasm/function.ts";

/**
 * Bytes of logits at once. A block of the head is packed for every chunk, which costs as much as some
 * twenty tokens of its product: a chunk should have some hundreds.
 */
const LOGITS_BYTES = 32 * 2 ** 20;

/** Logits of one step. */
export const STEP = 16;

/** Less than any logit, and finite. */
const LEAST = -3e38;

/**
 * One row of logits per task: `loss = log sum exp(l) - l[target]`, and in place
 * `l = weight (exp(l) / sum exp(l) - [target])`.
 */
const softmaxLossKernel = kernel(
  "softmaxLoss",
  {
    logits: "tensor",
    targets: "tensor",
    weights: "tensor",
    losses: "tensor",
    rows: "i32",
    /** The token of the first row. */
    first: "i32",
    vocabulary: "i32",
    withGradient: "i32",
  },
  (f, p) => {
    const { vocabulary } = p;
    const whole = f.let(i32.and(vocabulary, -STEP));
    f.tasks(p.rows, (row) => {
      const token = f.let(i32.add(p.first, row));
      const weight = f.let(f32.load(at(p.weights, token)));
      const loss = f.let(at(p.losses, token));
      const rowBytes = at(i64.const(0), vocabulary);
      const logits = f.let(i64.add(p.logits, i64.mul(i64.extendU(row), rowBytes)));
      f.if(f32.eq(weight, 0), () => {
        f.do(f32.store(loss, 0));
        f.if(p.withGradient, () => {
          overVectors(
            f,
            0,
            vocabulary,
            4,
            ({ store, vectors }) => store(logits, zeros(f, vectors)),
          );
        });
      }, () => {
        // A target beyond the vocabulary must not read beside the logits.
        const target = f.let(i32.load(at(p.targets, token)));
        f.set(target, i32.minU(target, f.let(i32.sub(vocabulary, 1))));
        const targetLogit = f.let(f32.load(at(logits, target)));
        const maximum = maximumOf(f, logits, whole, vocabulary);
        const total = f.let(f32.const(0));
        f.if(
          p.withGradient,
          () => f.set(total, sumOfExponentials(f, logits, whole, vocabulary, maximum, true)),
          () => f.set(total, sumOfExponentials(f, logits, whole, vocabulary, maximum, false)),
        );
        const logarithm = f32x4.extract(log(f, f32x4.splat(total)), 0);
        f.do(f32.store(loss, f32.sub(f32.add(maximum, logarithm), targetLogit)));
        f.if(p.withGradient, () => {
          const factor = f.let(f32x4.splat(f32.div(weight, total)));
          overVectors(f, 0, vocabulary, 4, ({ load, store }) => {
            store(logits, load(logits).map((value) => f32x4.mul(value, factor)));
          });
          const gradient = f.let(at(logits, target));
          f.do(f32.store(gradient, f32.sub(f32.load(gradient), weight)));
        });
      });
    });
  },
);

/** The largest of a row of logits. */
export function maximumOf(
  f: KernelBuilder,
  logits: Local<"i64">,
  whole: Local<"i32">,
  vocabulary: Local<"i32">,
): Local<"f32"> {
  const maxima = lanes().map(() => f.let(f32x4.splat(LEAST)));
  f.for(0, whole, STEP, (column) => {
    const address = f.let(at(logits, column));
    const values = lanes().map((i) => f.let(v128.load(address, 16 * i)));
    values.forEach((value, i) => {
      const maximum = maxima[i] as Local<"v128">;
      f.set(maximum, f32x4.relaxedMax(maximum, value));
    });
  });
  const [a, b, c, d] = maxima as [Local<"v128">, Local<"v128">, Local<"v128">, Local<"v128">];
  const four = f.let(f32x4.relaxedMax(f32x4.relaxedMax(a, b), f32x4.relaxedMax(c, d)));
  const maximum = f.let(f32x4.extract(four, 0));
  for (let lane = 1; lane < 4; lane++) {
    f.set(maximum, f32.max(maximum, f32x4.extract(four, lane)));
  }
  f.for(whole, vocabulary, 1, (column) => {
    f.set(maximum, f32.max(maximum, f32.load(at(logits, column))));
  });
  return maximum;
}

/** The sum of `exp(logit - maximum)` over a row; `keep` leaves the terms in place of the logits. */
export function sumOfExponentials(
  f: KernelBuilder,
  logits: Local<"i64">,
  whole: Local<"i32">,
  vocabulary: Local<"i32">,
  maximum: Local<"f32">,
  keep: boolean,
): Expression<"f32"> {
  const shift = f.let(f32x4.splat(maximum));
  const sums = zeros(f, 4);
  f.for(0, whole, STEP, (column) => {
    const address = f.let(at(logits, column));
    const terms = lanes().map((i) => f.let(exp(f, f32x4.sub(v128.load(address, 16 * i), shift))));
    if (keep) terms.forEach((term, i) => f.do(v128.store(address, term, 16 * i)));
    terms.forEach((term, i) => {
      const sum = sums[i] as Local<"v128">;
      f.set(sum, f32x4.add(sum, term));
    });
  });
  const total = f.let(laneSum(f, sumOf(sums)));
  f.for(whole, vocabulary, 1, (column) => {
    const address = f.let(at(logits, column));
    const term = f.let(exp(f, f32x4.sub(v128.load32Splat(address), shift)));
    if (keep) f.do(v128.store32Lane(address, term, 0));
    f.set(total, f32.add(total, f32x4.extract(term, 0)));
  });
  return total;
}

function lanes(): number[] {
  return Array.from({ length: STEP / 4 }, (_, i) => i);
}

/** `output = sum of weights * values`, in one task: tokens are few. */
const weightedSumKernel = kernel(
  "weightedSum",
  { values: "tensor", weights: "tensor", output: "tensor", size: "i32" },
  (f, p) => {
    f.tasks(1, () => {
      const sums = zeros(f, 4);
      overVectors(f, 0, p.size, 4, ({ load }) => {
        const weights = load(p.weights);
        load(p.values).forEach((value, i) => addProduct(f, sums[i], weights[i], value));
      });
      f.do(f32.store(p.output, laneSum(f, sumOf(sums))));
    });
  },
);

function addProduct(
  f: FunctionBuilder,
  sum: Local<"v128"> | undefined,
  left: Local<"v128"> | undefined,
  right: Local<"v128">,
): void {
  if (sum && left) f.set(sum, f32x4.relaxedMadd(left, right, sum));
}

/** Kernels of this file. */
export const crossEntropyKernels = [softmaxLossKernel, weightedSumKernel];

/** Records {@linkcode Operations.crossEntropy}. */
export function crossEntropy(recorder: Recorder, args: Arguments<"crossEntropy">): void {
  const { hidden, targets, weights, losses, gradHidden, gradHead } = args;
  const head = withPlainAbsmax(recorder, args.head);
  const { rows: vocabulary, columns } = head;
  const tokens = targets.size;
  const chunk = Math.min(chunkTokens(vocabulary), tokens);
  const allLogits = cpuTensor(recorder.scratch("f32", [chunk, vocabulary]));
  for (let first = 0; first < tokens; first += chunk) {
    const rows = Math.min(chunk, tokens - first);
    const part = (tensor: Tensor) => viewOf(cpuTensor(tensor), first * columns, [rows, columns]);
    const logits = viewOf(allLogits, 0, [rows, vocabulary]);
    linear(recorder, { input: part(hidden), weight: head, output: logits });
    const withGradient = gradHidden || gradHead ? 1 : 0;
    recorder.call(softmaxLossKernel, {
      ...{ logits, targets, weights, losses, rows, first, vocabulary, withGradient },
    });
    if (gradHidden) {
      const gradInput = part(gradHidden);
      linearTransposed(recorder, { gradOutput: logits, weight: head, gradInput });
    }
    if (gradHead) {
      const product = { left: logits, right: part(hidden), output: gradHead };
      matmul(recorder, { ...product, orientation: "tn", accumulate: true });
    }
  }
}

/** Whole runs of {@linkcode VIEW_ALIGNMENT} tokens, so that a chunk of `hidden` can be viewed. */
function chunkTokens(vocabulary: number): number {
  const fitting = LOGITS_BYTES / (4 * vocabulary * VIEW_ALIGNMENT);
  return Math.max(Math.floor(fitting), 1) * VIEW_ALIGNMENT;
}

/** The same head with its double quantization undone, once for all chunks. */
function withPlainAbsmax(recorder: Recorder, head: Weight): Weight {
  if (head.format !== "nf4") return head;
  const values = plainAbsmax(recorder, head.absmax, head.rows * head.columns);
  return { ...head, absmax: { kind: "plain", values } };
}

/** Records {@linkcode Operations.weightedSum}. */
export function weightedSum(
  recorder: Recorder,
  { values, weights, output }: Arguments<"weightedSum">,
): void {
  recorder.call(weightedSumKernel, { values, weights, output, size: values.size });
}
