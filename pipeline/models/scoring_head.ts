/**
 * The head of a model on chosen hidden states: the log-probability of a given token after each, and the
 * likeliest token.
 *
 * @module
 */

import type { Device, Recording, Tensor } from "../../kernels/device.ts";
import { passSize } from "./chunked_model.ts";
import type { LanguageModel } from "./language_model.ts";
import { TensorScope } from "./tensor_scope.ts";

/** Elements of the logits of a pass, at most: 64 MiB. */
const LOGITS = 2 ** 24;

/** Rows of a pass, at most: the answers that an interruption loses. */
const MOST_ROWS = 256;

/** What the head says of some rows; one entry for each. */
export interface HeadScores {
  /** Of the given tokens, natural logarithms. */
  readonly logProbabilities: Float64Array;
  /** The likeliest tokens, the first of equals. */
  readonly likeliest: Uint32Array;
  /** Of those. */
  readonly likeliestLogProbabilities: Float64Array;
}

/** Scores up to `rows` hidden states at once. What comes of a row does not depend on the others. */
export class ScoringHead {
  /** Rows of a pass. */
  readonly rows: number;
  /** `[rows, hidden]`: to be filled with final hidden states. */
  readonly hidden: Tensor;
  readonly #device: Device;
  readonly #model: LanguageModel;
  readonly #scope: TensorScope;
  readonly #targets: Tensor;
  readonly #weights: Tensor;
  readonly #losses: Tensor;
  readonly #logits: Tensor;
  readonly #keys: Tensor;
  readonly #counters: Tensor;
  readonly #likeliest: Tensor;
  readonly #likeliestLogProbabilities: Tensor;
  readonly #passes = new Map<number, Recording>();

  /** Allocates, and records the largest pass. */
  constructor(model: LanguageModel) {
    const { device, config: { hiddenSize, vocabSize } } = model;
    const rows = this.rows = Math.min(Math.max(Math.floor(LOGITS / vocabSize), 1), MOST_ROWS);
    this.#device = device;
    this.#model = model;
    const scope = this.#scope = new TensorScope(device);
    this.hidden = scope.tensor("f32", [rows, hiddenSize], "hidden states to score");
    this.#targets = scope.tensor("u32", [rows], "scored tokens");
    this.#weights = scope.tensor("f32", [rows], "weights of scored tokens");
    device.write(this.#weights, new Float32Array(rows).fill(1));
    this.#losses = scope.tensor("f32", [rows], "losses of scored tokens");
    this.#logits = scope.tensor("f32", [rows, vocabSize], "logits");
    this.#keys = scope.tensor("u32", [rows, 2], "unused keys of draws");
    this.#counters = scope.tensor("u32", [rows], "unused counters of draws");
    this.#likeliest = scope.tensor("u32", [rows], "likeliest tokens");
    this.#likeliestLogProbabilities = scope.tensor("f32", [rows], "their log-probabilities");
    this.#pass(rows);
  }

  /** Scores the first rows of `hidden`, one for each token; waits for the device. */
  async score(tokens: Uint32Array): Promise<HeadScores> {
    const device = this.#device;
    const count = tokens.length;
    device.write(this.#targets, tokens);
    device.run(this.#pass(passSize(count, this.rows)));
    const [losses, likeliest, logProbabilities] = await Promise.all([
      device.readFloats(device.view(this.#losses, 0, [count])),
      device.readWords(device.view(this.#likeliest, 0, [count])),
      device.readFloats(device.view(this.#likeliestLogProbabilities, 0, [count])),
    ]);
    return {
      logProbabilities: Float64Array.from(losses, (loss) => -loss),
      likeliest,
      likeliestLogProbabilities: Float64Array.from(logProbabilities),
    };
  }

  /** Waits and reads the logits `[count, vocab]` of the first rows that were scored last. */
  logits(count: number): Promise<Float32Array | Float64Array> {
    const shape = [count, this.#model.config.vocabSize];
    return this.#device.readFloats(this.#device.view(this.#logits, 0, shape));
  }

  /** Frees everything but the model. */
  release(): void {
    for (const recording of this.#passes.values()) recording.release();
    this.#scope.release();
  }

  #pass(count: number): Recording {
    let recording = this.#passes.get(count);
    if (recording === undefined) {
      const { head: { weight }, config: { hiddenSize, vocabSize } } = this.#model;
      const top = (tensor: Tensor, ...rest: number[]) =>
        this.#device.view(tensor, 0, [count, ...rest]);
      const hidden = top(this.hidden, hiddenSize);
      const logits = top(this.#logits, vocabSize);
      recording = this.#device.record(`scores of ${count} tokens`, (operations) => {
        operations.crossEntropy({
          hidden,
          head: weight,
          targets: top(this.#targets),
          weights: top(this.#weights),
          losses: top(this.#losses),
        });
        operations.linear({ input: hidden, weight, output: logits });
        operations.sample({
          logits,
          keys: top(this.#keys, 2),
          counters: top(this.#counters),
          temperature: 0,
          tokens: top(this.#likeliest),
          logProbabilities: top(this.#likeliestLogProbabilities),
        });
      }, { independentRows: true });
      this.#passes.set(count, recording);
    }
    return recording;
  }
}
