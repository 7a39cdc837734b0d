/**
 * What a tensor is for, by its label: the rows of a memory plan.
 *
 * @module
 */

/** Kinds in the order in which a plan shows them; the first pattern that matches a label counts. */
const KINDS: readonly (readonly [pattern: RegExp, kind: string])[] = [
  [/\.codes$/, "weight codes"],
  [/\.(scales|zeros)$/, "scales and zeros"],
  [/\.absmax/, "block maxima"],
  [/\.levels$/, "values of codes"],
  [/^model\.embed_tokens\.weight$/, "embedding"],
  [/^lm_head\.weight$/, "head"],
  [/norm\.weight$|\.bias$/, "norms and biases"],
  [/\.lora_[AB]$/, "adapter"],
  [/\.weight$/, "weights"],
  [/^parameters \d/, "trained parameters"],
  [/^gradients of /, "gradients"],
  [/^moment[12] of /, "optimizer moments"],
  [/^best of /, "best values so far"],
  [
    /^(input|output|target) of (block|layers)|^final hidden states$|^hidden states of teacher$/,
    "block inputs",
  ],
  [
    /^(raw |)(queries|keys)$|^values$|^attended$|^log-sum-exp$|^(middle |)normed$|^middle$|^gate$|^up$|^activated$|^hidden of /,
    "activations",
  ],
  [/^gradient( of |$)|^final gradient$/, "gradients of activations"],
  [/^(Gram matrix|probe|sample) of |^Gram matrix times /, "Gram matrices"],
  [/^scratch of /, "scratch and logits chunk"],
  [/^(hidden states of |)logits$/, "logits"],
  [
    /^(tokens|targets|target weights|losses|token (order|offsets|losses)|rope .*|(starts of|positions in) examples|dropout key)$|^loss|^gradient norm$|^hyperparameters|^slot of the round$/,
    "batch, losses and tables",
  ],
];

/** All kinds, in order. */
export const TENSOR_KINDS: readonly string[] = KINDS.map(([, kind]) => kind);

/** The kind of a label; null if it is none that the models of this project make. */
export function kindOf(label: string): string | null {
  return KINDS.find(([pattern]) => pattern.test(label))?.[1] ?? null;
}
