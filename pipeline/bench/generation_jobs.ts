/**
 * Prompts and generation on a device, with a cache of keys and values.
 *
 * @module
 */

import type { Job } from "../../kernels/bench/benchmark.ts";
import type { Device } from "../../kernels/device.ts";
import { CachedModel } from "../models/cached_model.ts";
import {
  freeLanguageModel,
  loadLanguageModel,
  type ModelSource,
} from "../models/language_model.ts";
import type { BatchSize } from "./model_work.ts";
import { benchmarkTokens } from "./models.ts";

/** A call reads a prompt of `length` tokens into an empty cache, and draws the next token. */
export async function promptJob(
  device: Device,
  source: ModelSource,
  length: number,
): Promise<Job> {
  const model = await loadLanguageModel(device, source);
  const cached = new CachedModel(model, { batchSize: 1, capacity: length });
  const tokens = benchmarkTokens(length, source.config.vocabSize);
  return {
    queue(calls) {
      for (let done = 0; done < calls; done++) {
        cached.prefill(0, tokens.subarray(0, length - 1));
        device.write(cached.tokens, tokens.subarray(length - 1));
        device.write(cached.positions, Uint32Array.of(length - 1));
        cached.step();
        cached.sample();
      }
    },
    release() {
      cached.release();
      freeLanguageModel(model);
    },
  };
}

/** A call continues one token in each sequence by `length` likeliest tokens, one by one. */
export async function generationJob(
  device: Device,
  source: ModelSource,
  { batchSize, length }: BatchSize,
): Promise<Job> {
  const model = await loadLanguageModel(device, source);
  const cached = new CachedModel(model, { batchSize, capacity: length });
  const tokens = benchmarkTokens(batchSize, source.config.vocabSize);
  return {
    queue(calls) {
      for (let done = 0; done < calls; done++) {
        device.write(cached.tokens, tokens);
        for (let position = 0; position < length; position++) {
          device.write(cached.positions, new Uint32Array(batchSize).fill(position));
          cached.step();
          cached.sample();
        }
      }
    },
    release() {
      cached.release();
      freeLanguageModel(model);
    },
  };
}
