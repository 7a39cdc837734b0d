/**
 * llama.cpp on the CPU as a program that is compared, through node-llama-cpp; see `../serve.ts`.
 *
 *     peer.ts MODULE --threads N
 *
 * MODULE is node-llama-cpp's main file. Models have random weights in Q4_0.
 *
 * @module
 */

import { pathToFileURL } from "node:url";
import type { ModelShape } from "../../../pipeline/bench/models.ts";
import { type PeerJob, serve, UnsupportedWorkload } from "../serve.ts";
import type { Workload } from "../protocol.ts";
import { writeRandomGguf } from "./gguf.ts";

/** The little of node-llama-cpp 3 that is used here. */
interface NodeLlamaCpp {
  getLlama(options: {
    gpu: false;
    build: "never";
    logLevel: "error";
    maxThreads: number;
  }): Promise<{
    readonly systemInfo: string;
    loadModel(options: { modelPath: string }): Promise<Model>;
  }>;
}

interface Model {
  createContext(options: {
    contextSize: number;
    batchSize: number;
    threads: number;
    sequences: 1;
  }): Promise<{ getSequence(): Sequence }>;
  dispose(): Promise<void>;
}

interface Sequence {
  evaluateWithoutGeneratingNewTokens(tokens: number[]): Promise<void>;
  evaluate(
    tokens: number[],
    options: { temperature: 0; yieldEogToken: true },
  ): AsyncIterable<number>;
  clearHistory(): Promise<void>;
}

const [module = "", , threadsText = "1"] = Deno.args;
const threads = Number(threadsText);
const { getLlama }: NodeLlamaCpp = await import(pathToFileURL(module).href);
const llama = await getLlama({
  gpu: false,
  build: "never",
  logLevel: "error",
  maxThreads: threads,
});
const folder = await Deno.makeTempDir({ prefix: "equipoise-llama-cpp-" });
try {
  const features = llama.systemInfo.match(/\w+(?= = 1)/g)?.join(" ") ?? "";
  await serve(() => `llama.cpp in node-llama-cpp 3.22.1, ${features}`, prepare);
} finally {
  await Deno.remove(folder, { recursive: true });
}

async function prepare(workload: Workload): Promise<PeerJob> {
  if (workload.kind !== "prompt" && workload.kind !== "generate") {
    throw new UnsupportedWorkload(`llama.cpp is not compared on ${workload.kind}`);
  }
  const config = workload.model.config as unknown as ModelShape;
  // A file of its own for each: a model that is still in memory reads from its file.
  const modelPath = `${folder}/${crypto.randomUUID()}.gguf`;
  await writeRandomGguf(modelPath, config);
  const model = await llama.loadModel({ modelPath });
  const { length } = workload;
  const contextSize = length + 2;
  const context = await model.createContext({
    contextSize,
    batchSize: contextSize,
    threads,
    sequences: 1,
  });
  const sequence = context.getSequence();
  const tokens = Array.from(
    { length },
    (_, index) => 3 + (Math.imul(index, 0x9e3779b1) >>> 8) % (config.vocab_size - 3),
  );
  const call = workload.kind === "prompt"
    ? () => sequence.evaluateWithoutGeneratingNewTokens(tokens)
    : () => generate(sequence, tokens[0] ?? 3, length);
  return {
    value: null,
    note: "Q4_0 throughout, head and embedding too",
    async time(calls) {
      let milliseconds = 0;
      for (let done = 0; done < calls; done++) {
        await sequence.clearHistory();
        const start = performance.now();
        await call();
        milliseconds += performance.now() - start;
      }
      return milliseconds / 1000;
    },
    release: () => void model.dispose(),
  };
}

async function generate(sequence: Sequence, first: number, length: number): Promise<void> {
  let made = 0;
  for await (const _ of sequence.evaluate([first], { temperature: 0, yieldEogToken: true })) {
    if (++made === length) break;
  }
}
