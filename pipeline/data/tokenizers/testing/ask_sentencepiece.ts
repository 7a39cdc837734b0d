/**
 * Asking SentencePiece itself.
 *
 * @module
 */

import assert from "node:assert/strict";

const SCRIPT =
  new URL("../../../../tests/oracles/sentencepiece_models.py", import.meta.url).pathname;

/** What `tests/oracles/sentencepiece_models.py` is asked. */
export interface Question {
  /** Models to train, `{ train, corpus }`, or trained ones, `{ model }` in base64. */
  readonly models: readonly object[];
  readonly texts?: readonly string[];
  /** Numbers below 1, which are scaled to ids. */
  readonly sequences?: readonly (readonly number[])[];
}

/** What it answers for one model. */
export interface Answer {
  /** `tokenizer.model` in base64. */
  readonly model: string;
  /** Ids of the texts. */
  readonly ids: readonly (readonly number[])[];
  /** Texts of these ids. */
  readonly decoded: readonly string[];
  /** Texts of the sequences. */
  readonly sequences: readonly string[];
}

/** Answers for all models; needs permission to run `python`. */
export async function askSentencePiece(python: string, question: Question): Promise<Answer[]> {
  const child = new Deno.Command(python, {
    args: [SCRIPT],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const request = JSON.stringify({ texts: [], sequences: [], ...question });
  const asked = new Blob([request]).stream().pipeTo(child.stdin);
  const { success, stdout, stderr } = await child.output();
  assert(success, new TextDecoder().decode(stderr));
  await asked;
  return JSON.parse(new TextDecoder().decode(stdout));
}
