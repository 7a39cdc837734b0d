/**
 * The forms of an adapter. All are one pooled adapter (see `kernels/device.ts`, `LowRank`)
 *
 *     y += scale * repeat_q(B A pool_p(x)),    delta W = (scale / p) tile_{q,p}(B A)
 *
 * with average pooling over p input features and repetition over q output features; a form is a choice
 * of p, q and the rank R of the pair. `s = alpha / rank` with the nominal rank.
 *
 * @module
 */

import type { LinearShape } from "../models/architecture.ts";
import { UserError } from "../errors.ts";

/** Rows and columns of the blocks of weights that share a scale and a zero. */
export interface QuantizationBlock {
  readonly rows: number;
  readonly columns: number;
}

/** What a form needs to know besides the layer. */
export interface FormOptions {
  /** Nominal rank r. */
  readonly rank: number;
  /** Pooling and repetition of Q-BLoRA, and the default repetition of QA-BLoRA. */
  readonly lambda: number;
  /** Explicit widths for the forms that leave them free. */
  readonly pool?: number | undefined;
  readonly repeat?: number | undefined;
}

/** Pooling, repetition and rank of one layer's adapter. */
export interface FormShape {
  readonly pool: number;
  readonly repeat: number;
  /** Rank R of the pair, or rows of the single matrix's input (QA-HiRA). */
  readonly rank: number;
}

/** One way to set the pooled adapter. */
export interface AdapterForm {
  /** The value of `form:` in the experiment file. */
  readonly name: string;
  readonly summary: string;
  /** A merge moves only zero points: needs an integer base whose blocks lie inside the tiles. */
  readonly mergesExactly: boolean;
  /** Whether A is trained, or stands for the identity (QA-HiRA). */
  readonly pair: boolean;
  /** `block` is null for a base without integer blocks. */
  shape(options: FormOptions, linear: LinearShape, block: QuantizationBlock | null): FormShape;
}

/** Hu et al. 2021; on an NF4 base this is QLoRA (Dettmers et al. 2023). */
const lora: AdapterForm = {
  name: "lora",
  summary: "LoRA and QLoRA: A [r, in], B [out, r]; merges into 16-bit weights",
  mergesExactly: false,
  pair: true,
  shape: ({ rank }) => ({ pool: 1, repeat: 1, rank }),
};

/** Xu et al. 2023, "QA-LoRA", section 3: the input is pooled over each quantization group. */
const qaLora: AdapterForm = {
  name: "qa-lora",
  summary: "QA-LoRA: inputs pooled over quantization groups; merges exactly into zero points",
  mergesExactly: true,
  pair: true,
  shape: ({ rank, pool }, linear, block) => ({
    pool: pool ?? blockOf("qa-lora", linear, block).columns,
    repeat: blockOf("qa-lora", linear, block).rows,
    rank,
  }),
};

/** "Accurate and efficient fine-tuning of quantized LLMs through optimal balance", arXiv 2407.17029. */
const qBlora: AdapterForm = {
  name: "q-blora",
  summary: "Q-BLoRA: inputs and outputs shrunk by lambda, rank raised by it; merges into 16 bits",
  mergesExactly: false,
  pair: true,
  shape: ({ rank, lambda }) => ({ pool: lambda, repeat: lambda, rank: lambda * rank }),
};

/**
 * The same paper. Its block shape and rank are not published; here the pool covers a quantization
 * group and outputs are repeated `lambda`-wise, which spends on rank what B saves (`R = lambda r`).
 */
const qaBlora: AdapterForm = {
  name: "qa-blora",
  summary: "QA-BLoRA: tiles aligned with quantization blocks, higher rank; merges exactly",
  mergesExactly: true,
  pair: true,
  shape({ rank, lambda, pool, repeat }, linear, block) {
    const blocks = blockOf("qa-blora", linear, block);
    const width = repeat ?? lambda * blocks.rows;
    return { pool: pool ?? blocks.columns, repeat: width, rank: rank * width / blocks.rows };
  },
};

/** The variant of the paper's first version: one trained number per tile, no low rank. */
const qaHira: AdapterForm = {
  name: "qa-hira",
  summary: "QA-HiRA (2407.17029v1): one matrix [out / q, in / p]; merges exactly",
  mergesExactly: true,
  pair: false,
  shape(options, linear, block) {
    const blocks = blockOf("qa-hira", linear, block);
    const pool = options.pool ?? blocks.columns;
    return { pool, repeat: options.repeat ?? blocks.rows, rank: linear.columns / pool };
  },
};

/** All forms, by name. A new one is an object above and a place in this list. */
export const forms: readonly AdapterForm[] = [lora, qaLora, qBlora, qaBlora, qaHira];

/** The form of this name. */
export function formNamed(name: string): AdapterForm {
  const form = forms.find((form) => form.name === name);
  if (form === undefined) throw new RangeError(`Unknown adapter form "${name}"`);
  return form;
}

function blockOf(
  form: string,
  linear: LinearShape,
  block: QuantizationBlock | null,
): QuantizationBlock {
  if (block === null) {
    throw new UserError(
      `The form ${form} aligns with integer quantization blocks, but ${linear.path} has none; ` +
        `quantize with an integer method such as rtn, or use lora or q-blora`,
    );
  }
  return block;
}
