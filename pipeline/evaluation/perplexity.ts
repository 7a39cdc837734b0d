/**
 * Perplexity under a named protocol. Which tokens are scored, and with how much context, changes the
 * number by more than most methods do: two perplexities compare only under one protocol.
 *
 * @module
 */

import type { Example } from "../data/dataset.ts";
import { concatenate } from "../data/text_windows.ts";
import { UserError } from "../errors.ts";

/**
 * How a text is cut into rows.
 *
 * - `window`: consecutive windows without overlap; every token but a window's first is scored.
 * - `stride`: windows that advance by `stride`; only tokens that no window before has seen are
 *   scored, so that each but the first ones has at least `window - stride` tokens of context.
 * - `document`: each document alone, in windows if it is longer than `window`.
 */
export type PerplexityProtocol =
  | { readonly kind: "window"; readonly window: number }
  | { readonly kind: "stride"; readonly window: number; readonly stride: number }
  | { readonly kind: "document"; readonly window: number };

/**
 * `-log p` of the targets of rows given the tokens before them in the row: one array per row with an
 * entry per token, 0 where that is no target (see `training/score.ts`).
 */
export type Score = (rows: readonly Example[]) => Promise<readonly Float64Array[]>;

/** A measured perplexity. */
export interface Perplexity {
  /** `exp(meanLoss)`. */
  readonly perplexity: number;
  /** Mean of `-log p` over the scored tokens, natural logarithm. */
  readonly meanLoss: number;
  /** Scored tokens. */
  readonly tokens: number;
  /**
   * Of the perplexity, by the delta method: `perplexity * s / sqrt(tokens)`, where `s` is the sample
   * standard deviation of the token losses, which are taken as independent.
   */
  readonly standardError: number;
  /** "window-512", "stride-256" or "document". */
  readonly protocol: string;
}

/** The name that results carry. */
export function protocolName(protocol: PerplexityProtocol): string {
  switch (protocol.kind) {
    case "window":
      return `window-${protocol.window}`;
    case "stride":
      return `stride-${protocol.stride}`;
    case "document":
      return "document";
  }
}

/**
 * The rows that a protocol scores. `window` and `stride` see the documents as one stream.
 *
 * @throws {UserError} If a window has less than 2 tokens or a stride exceeds its window.
 *
 * @example
 * ```ts
 * import { perplexityRows } from "./perplexity.ts";
 *
 * const rows = perplexityRows([Uint32Array.of(1, 2, 3, 4, 5)], {
 *   kind: "stride",
 *   window: 3,
 *   stride: 2,
 * });
 * const shown = rows.map(({ tokens, targets }) => `${tokens} ${targets}`);
 * if (shown.join("; ") !== "1,2,3 0,1,1; 3,4,5 0,1,1") throw new Error("2 new tokens a window");
 * ```
 */
export function perplexityRows(
  documents: readonly Uint32Array[],
  protocol: PerplexityProtocol,
): Example[] {
  const { kind, window } = protocol;
  const stride = kind === "stride" ? protocol.stride : window;
  if (window < 2) {
    throw new UserError(`A perplexity window of ${window} tokens scores none; use 2 or more`);
  }
  if (stride < 1 || stride > window) {
    throw new UserError(
      `A stride of ${stride} tokens skips or repeats text; use 1 to ${window}, the window`,
    );
  }
  const streams = kind === "document" ? documents : [concatenate(documents)];
  return streams.flatMap((stream) => windowsOf(stream, window, stride));
}

function windowsOf(stream: Uint32Array, window: number, stride: number): Example[] {
  const rows: Example[] = [];
  for (let start = 0, scored = 0; scored < stream.length; start += stride) {
    const tokens = stream.subarray(start, start + window);
    const targets = new Uint8Array(tokens.length);
    // The first token of a row has nothing before it, so it is never scored.
    targets.fill(1, Math.max(1, scored - start));
    if (targets.includes(1)) rows.push({ tokens, targets });
    scored = start + tokens.length;
  }
  return rows;
}

/**
 * Perplexity of documents of token ids.
 *
 * @throws {UserError} If fewer than two tokens can be scored, or a loss is NaN or infinite.
 */
export async function measurePerplexity(
  documents: readonly Uint32Array[],
  protocol: PerplexityProtocol,
  score: Score,
): Promise<Perplexity> {
  const rows = perplexityRows(documents, protocol);
  const name = protocolName(protocol);
  const losses: number[] = [];
  (await score(rows)).forEach((scores, row) => {
    rows[row]?.targets.forEach((target, position) => {
      if (target === 1) losses.push(scores[position] as number);
    });
  });
  const tokens = losses.length;
  if (tokens < 2) {
    throw new UserError(
      `Perplexity (${name}) needs at least 2 tokens to score, but the text has ${tokens}`,
    );
  }
  const broken = losses.find((loss) => !Number.isFinite(loss));
  if (broken !== undefined) {
    throw new UserError(
      `Perplexity (${name}) cannot be computed: the loss of a token is ${broken}; the model's ` +
        `weights or activations overflow`,
    );
  }
  const meanLoss = losses.reduce((sum, loss) => sum + loss, 0) / tokens;
  const variance = losses.reduce((sum, loss) => sum + (loss - meanLoss) ** 2, 0) / (tokens - 1);
  const perplexity = Math.exp(meanLoss);
  return {
    perplexity,
    meanLoss,
    tokens,
    standardError: perplexity * Math.sqrt(variance / tokens),
    protocol: name,
  };
}
