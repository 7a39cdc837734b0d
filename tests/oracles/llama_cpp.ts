/**
 * Log-probabilities by llama.cpp, through node-llama-cpp; a process of its own, away from the project's
 * configuration.
 *
 *     llama_cpp.ts MODULE MODEL
 *
 * Reads rows of token ids as JSON from its input, and writes, for each row, the natural logarithm of the
 * probability of each token but the first after those before it.
 *
 * @module
 */

import { pathToFileURL } from "node:url";

/** The little of node-llama-cpp 3 that is used here. */
interface NodeLlamaCpp {
  getLlama(options: {
    gpu: false;
    build: "never";
    logLevel: "error";
    maxThreads: number;
  }): Promise<{ loadModel(options: { modelPath: string }): Promise<Model> }>;
}

interface Model {
  createContext(options: {
    contextSize: number;
    batchSize: number;
    sequences: 1;
    flashAttention: false;
    experimentalKvCacheKeyType: "F32";
    experimentalKvCacheValueType: "F32";
  }): Promise<{ getSequence(): Sequence }>;
}

interface Sequence {
  clearHistory(): Promise<void>;
  controlledEvaluate(
    input: [token: number, options: {
      generateNext: {
        probabilities: true;
        options: { temperature: 1; topK: 0; topP: 1; minP: 0 };
      };
    }][],
  ): Promise<{ next: { probabilities?: Map<number, number> } }[]>;
}

const [module = "", modelPath = ""] = Deno.args;
const { getLlama }: NodeLlamaCpp = await import(pathToFileURL(module).href);
const llama = await getLlama({ gpu: false, build: "never", logLevel: "error", maxThreads: 2 });
const model = await llama.loadModel({ modelPath });
const context = await model.createContext({
  contextSize: 512,
  batchSize: 512,
  sequences: 1,
  // With the usual f16, a token of tinystories-656k may be off by 8e-3.
  flashAttention: false,
  experimentalKvCacheKeyType: "F32",
  experimentalKvCacheValueType: "F32",
});
const sequence = context.getSequence();
const rows: number[][] = await new Response(Deno.stdin.readable).json();
const answers: number[][] = [];
for (const tokens of rows) {
  await sequence.clearHistory();
  const outputs = await sequence.controlledEvaluate(
    tokens.slice(0, -1).map((token) => [token, {
      generateNext: {
        probabilities: true,
        options: { temperature: 1, topK: 0, topP: 1, minP: 0 },
      },
    }]),
  );
  answers.push(
    outputs.map(({ next }, index) =>
      Math.log(next.probabilities?.get(tokens[index + 1] ?? -1) ?? NaN)
    ),
  );
}
console.log(JSON.stringify(answers));
Deno.exit(0);
