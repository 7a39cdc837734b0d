/**
 * Texts of requests to token ids, as lm-evaluation-harness makes them (`lm_eval/api/model.py`,
 * `TemplateLM`, and `lm_eval/models/huggingface.py`).
 *
 * @module
 */

import type { Tokenizer } from "../../data/tokenizer.ts";
import { UserError } from "../../errors.ts";

/**
 * Whether texts begin with the token that begins texts (BOS). Versions of the harness disagree:
 *
 * - `tokenizer`: what the tokenizer itself adds; lm-eval from 0.4.9.2 on. LLaMA gets BOS.
 * - `none`: nothing is added; lm-eval 0.3 to 0.4.9.1, for all models but Gemma.
 * - `always`: BOS, whatever the tokenizer does.
 *
 * A text that already begins with BOS, spelled out, gets no second one.
 */
export type BosPolicy = "tokenizer" | "none" | "always";

/** All policies, the default first. */
export const BOS_POLICIES = ["tokenizer", "none", "always"] as const satisfies BosPolicy[];

/** A text in two parts. */
export interface TokenPair {
  /** At least one token. */
  readonly context: Uint32Array;
  /** May be empty, where it adds no token to the context. */
  readonly continuation: Uint32Array;
}

/**
 * White space as Python's `str.rstrip` has it: with the separators U+001C to U+001F and U+0085, which
 * JavaScript's `trimEnd` leaves, and without U+FEFF.
 */
const SPACES_AT_END =
  // deno-lint-ignore no-control-regex -- they are white space in Python
  /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+$/u;

/** Encodes the texts of requests. */
export class RequestTokenizer {
  readonly #tokenizer: Tokenizer;
  readonly #bos: BosPolicy;
  /** The text that stands for the prefix token; null if it has none. */
  readonly #prefixText: string | null;
  /** Whether the tokenizer ends every text with EOS; a text that goes on has none. */
  readonly #addsEos: boolean;
  /** Contexts come in runs, one for all continuations of a question. */
  #last: { readonly context: string; readonly ids: Uint32Array } | null = null;

  /** @throws {UserError} If the policy is `always` and the tokenizer has no BOS. */
  constructor(tokenizer: Tokenizer, bos: BosPolicy = "tokenizer") {
    if (bos === "always" && tokenizer.bosId === null) {
      throw new UserError(
        `bos is "always", but the tokenizer names no token that begins texts (bos_token in ` +
          `tokenizer_config.json); use "tokenizer" or "none"`,
      );
    }
    this.#tokenizer = tokenizer;
    this.#bos = bos;
    const prefix = tokenizer.bosId ?? tokenizer.eosId;
    this.#prefixText = prefix === null ? null : tokenizer.decode([prefix]);
    this.#addsEos = tokenizer.eosId !== null && tokenizer.encode("a").at(-1) === tokenizer.eosId;
  }

  /**
   * Stands before texts that have no context: BOS, or else the token that ends texts (EOS).
   *
   * @throws {UserError} If the tokenizer has neither.
   */
  get prefixId(): number {
    const id = this.#tokenizer.bosId ?? this.#tokenizer.eosId;
    if (id !== null) return id;
    throw new UserError(
      `A text without context needs a token before it, but the tokenizer names neither bos_token ` +
        `nor eos_token in tokenizer_config.json; add one, or give every request a context`,
    );
  }

  /** Ids of a text with the tokens before it that the policy wants, but without EOS after it. */
  encode(text: string): Uint32Array {
    if (this.#bos === "none" || (this.#prefixText && text.startsWith(this.#prefixText))) {
      return this.#tokenizer.encodeWithoutSpecialTokens(text);
    }
    if (this.#bos === "always") {
      const ids = this.#tokenizer.encodeWithoutSpecialTokens(text);
      return Uint32Array.of(this.prefixId, ...ids);
    }
    const ids = this.#tokenizer.encode(text);
    return this.#addsEos ? ids.subarray(0, -1) : ids;
  }

  /**
   * Ids of a context and of what follows it. Spaces at the end of the context move to the continuation;
   * then the whole text is encoded, and divided where the context alone would end. Without a context the
   * continuation, encoded alone, follows the prefix token; if it begins with that token itself, then that
   * is the context.
   */
  encodePair(context: string, continuation: string): TokenPair {
    const spaces = SPACES_AT_END.exec(context)?.[0] ?? "";
    const before = spaces === "" ? context : context.slice(0, -spaces.length);
    const ids = context === "" ? new Uint32Array(0) : this.#encodeContext(before);
    if (ids.length === 0) {
      const after = this.#tokenizer.encodeWithoutSpecialTokens(spaces + continuation);
      const { prefixId } = this;
      return after[0] === prefixId
        ? { context: after.subarray(0, 1), continuation: after.subarray(1) }
        : { context: Uint32Array.of(prefixId), continuation: after };
    }
    const whole = this.encode(before + spaces + continuation);
    return { context: ids, continuation: whole.subarray(ids.length) };
  }

  #encodeContext(context: string): Uint32Array {
    if (this.#last?.context !== context) this.#last = { context, ids: this.encode(context) };
    return this.#last.ids;
  }
}

/** A pair of which the model sees as much as it can. */
export interface TruncatedPair extends TokenPair {
  /** Tokens cut from the left. */
  readonly truncated: number;
}

/**
 * Cuts the left of a pair whose tokens but the last are more than `maxLength`: what is left is
 * `(context + continuation)[-(maxLength + 1):]`. At least one token of context stays.
 *
 * @throws {RangeError} If the continuation alone is longer than `maxLength`.
 */
export function truncateLeft(
  { context, continuation }: TokenPair,
  maxLength: number,
): TruncatedPair {
  const room = maxLength + 1 - continuation.length;
  if (room < 1) {
    throw new RangeError(`A continuation of ${continuation.length} tokens exceeds ${maxLength}`);
  }
  const truncated = Math.max(0, context.length - room);
  return { context: context.subarray(truncated), continuation, truncated };
}
