/**
 * jax-js as a program that is compared; see `../serve.ts`.
 *
 *     peer.ts MODULE --device wasm|webgpu
 *
 * MODULE is the main file of @jax-js/jax. It takes as many threads as there are processors, which is
 * what `taskset` leaves it.
 *
 * @module
 */

import { pathToFileURL } from "node:url";
import { type PeerJob, serve, UnsupportedWorkload } from "../serve.ts";
import type { Workload } from "../protocol.ts";

/** The little of jax-js that is used here. Functions consume their arguments; `ref` keeps one. */
interface JaxArray {
  readonly ref: JaxArray;
  add(other: JaxArray | number): JaxArray;
  sub(other: JaxArray): JaxArray;
  mul(other: JaxArray | number): JaxArray;
  reshape(shape: number[]): JaxArray;
  transpose(): JaxArray;
  dispose(): void;
}

type Weights = Readonly<Record<string, JaxArray>>;

interface Jax {
  init(): Promise<string[]>;
  defaultDevice(device: string): string;
  blockUntilReady(array: JaxArray): Promise<JaxArray>;
  jit<Arguments extends unknown[]>(
    call: (...args: Arguments) => JaxArray,
  ): (...args: Arguments) => JaxArray;
  readonly numpy: {
    readonly int32: string;
    array(values: Float32Array | Int32Array, options?: { dtype: string }): JaxArray;
    matmul(left: JaxArray, right: JaxArray): JaxArray;
    mean(array: JaxArray, axis?: number, options?: { keepdims: true }): JaxArray;
    sqrt(array: JaxArray): JaxArray;
    square(array: JaxArray): JaxArray;
    reciprocal(array: JaxArray): JaxArray;
    take(array: JaxArray, indices: JaxArray, axis: number): JaxArray;
    takeAlongAxis(array: JaxArray, indices: JaxArray, axis: number): JaxArray;
    split(array: JaxArray, sections: number, axis: number): JaxArray[];
    roll(array: JaxArray, shift: number, axis: number): JaxArray;
    concatenate(arrays: JaxArray[], axis: number): JaxArray;
  };
  readonly nn: {
    silu(array: JaxArray): JaxArray;
    logSoftmax(array: JaxArray, axis: number): JaxArray;
    dotProductAttention(
      queries: JaxArray,
      keys: JaxArray,
      values: JaxArray,
      options: { isCausal: true },
    ): JaxArray;
  };
}

const [module = "", , device = "wasm"] = Deno.args;
const jax: Jax = await import(pathToFileURL(module).href);
const { numpy, nn } = jax;
const devices = await jax.init();
if (!devices.includes(device)) {
  console.error(`jax-js has no ${device} here; it has ${devices.join(", ")}`);
  Deno.exit(1);
}
jax.defaultDevice(device);
await serve(() => `jax-js 0.1.25, ${device}`, prepare);
Deno.exit(); // its threads would wait for ever

function prepare(workload: Workload): Promise<PeerJob> {
  if (workload.kind === "linear" && workload.weight === "f32") {
    const { tokens, inputs, outputs } = workload;
    const values = random(tokens * inputs, 1).reshape([tokens, inputs]);
    const weight = random(outputs * inputs, 0.02).reshape([outputs, inputs]);
    const product = jax.jit((x: JaxArray, w: JaxArray) => numpy.matmul(x, w.transpose()));
    return Promise.resolve(jobOf(() => product(values.ref, weight.ref), [values, weight]));
  }
  if (workload.kind === "evaluate") return Promise.resolve(evaluation(workload));
  throw new UnsupportedWorkload(`jax-js is not compared on ${workload.kind}`);
}

interface Config {
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly vocab_size: number;
  readonly rms_norm_eps: number;
}

/** The mean loss of a batch under a model with a tied head. */
function evaluation(workload: Workload & { kind: "evaluate" }): PeerJob {
  const { batch, length } = workload;
  const config = workload.model.config as unknown as Config;
  const weights = randomWeights(config);
  const tokens = Int32Array.from(
    { length: batch * length },
    (_, index) => (Math.imul(index, 0x9e3779b1) >>> 8) % config.vocab_size,
  );
  const inputs = numpy.array(tokens, { dtype: numpy.int32 }).reshape([batch, length]);
  const [cosines, sines] = rotaryTables(config, length);
  const loss = jax.jit((w: Weights, tokens: JaxArray, cosines: JaxArray, sines: JaxArray) =>
    meanLoss(config, w, tokens, cosines, sines, batch, length)
  );
  const call = () => {
    const kept = Object.fromEntries(Object.entries(weights).map(([name, w]) => [name, w.ref]));
    return loss(kept, inputs.ref, cosines.ref, sines.ref);
  };
  const arrays = [...Object.values(weights), inputs, cosines, sines];
  return { ...jobOf(call, arrays), note: "f32 weights" };
}

/** Mean of -log p of the next tokens; that of a row's last is its first. */
function meanLoss(
  config: Config,
  weights: Weights,
  tokens: JaxArray,
  cosines: JaxArray,
  sines: JaxArray,
  batch: number,
  length: number,
): JaxArray {
  const { hidden_size: size, num_attention_heads: heads, num_key_value_heads: kvHeads } = config;
  const width = size / heads;
  const w = (name: string) => weights[name]?.ref as JaxArray;
  const linear = (x: JaxArray, name: string) => numpy.matmul(x, w(name).transpose());
  const split = (x: JaxArray, count: number) => x.reshape([batch, length, count, width]);
  const rotate = (x: JaxArray) => {
    const [first, second] = numpy.split(x.ref, 2, 3) as [JaxArray, JaxArray];
    const turned = numpy.concatenate([second.mul(-1), first], 3);
    return x.mul(cosines.ref).add(turned.mul(sines.ref));
  };
  let x = numpy.take(w("embedding"), tokens.ref, 0);
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const normed = rmsNorm(x.ref, config.rms_norm_eps);
    const mixed = nn.dotProductAttention(
      rotate(split(linear(normed.ref, `${layer}.q`), heads)),
      rotate(split(linear(normed.ref, `${layer}.k`), kvHeads)),
      split(linear(normed, `${layer}.v`), kvHeads),
      { isCausal: true },
    );
    x = x.add(linear(mixed.reshape([batch, length, size]), `${layer}.o`));
    const inner = rmsNorm(x.ref, config.rms_norm_eps);
    const gate = nn.silu(linear(inner.ref, `${layer}.gate`));
    x = x.add(linear(gate.mul(linear(inner, `${layer}.up`)), `${layer}.down`));
  }
  const logits = linear(rmsNorm(x, config.rms_norm_eps), "embedding");
  const logs = nn.logSoftmax(logits, -1);
  const targets = numpy.roll(tokens, -1, 1).reshape([batch, length, 1]);
  return numpy.mean(numpy.takeAlongAxis(logs, targets, 2)).mul(-1);
}

/** With a weight of ones left out. */
function rmsNorm(x: JaxArray, epsilon: number): JaxArray {
  const square = numpy.mean(numpy.square(x.ref), -1, { keepdims: true });
  return x.mul(numpy.reciprocal(numpy.sqrt(square.add(epsilon))));
}

function randomWeights(config: Config): Weights {
  const { hidden_size: size, intermediate_size: inner } = config;
  const keys = size / config.num_attention_heads * config.num_key_value_heads;
  const matrix = (rows: number, columns: number) =>
    random(rows * columns, 0.02).reshape([rows, columns]);
  const layers = Array.from({ length: config.num_hidden_layers }, (_, layer) => ({
    [`${layer}.q`]: matrix(size, size),
    [`${layer}.k`]: matrix(keys, size),
    [`${layer}.v`]: matrix(keys, size),
    [`${layer}.o`]: matrix(size, size),
    [`${layer}.gate`]: matrix(inner, size),
    [`${layer}.up`]: matrix(inner, size),
    [`${layer}.down`]: matrix(size, inner),
  }));
  return Object.assign({ embedding: matrix(config.vocab_size, size) }, ...layers);
}

/** `[length, 1, width]`, feature i paired with i + width / 2. */
function rotaryTables(config: Config, length: number): [JaxArray, JaxArray] {
  const width = config.hidden_size / config.num_attention_heads;
  const table = (wave: (angle: number) => number) =>
    numpy.array(Float32Array.from({ length: length * width }, (_, index) => {
      const pair = index % width % (width / 2);
      return wave(Math.floor(index / width) * 10000 ** (-2 * pair / width));
    })).reshape([length, 1, width]);
  return [table(Math.cos), table(Math.sin)];
}

/** Sums of uniform values: normal enough for timing. */
function random(size: number, deviation: number): JaxArray {
  return numpy.array(Float32Array.from({ length: size }, () => {
    const sum = Math.random() + Math.random() + Math.random() - 1.5;
    return 2 * deviation * sum;
  }));
}

function jobOf(call: () => JaxArray, arrays: readonly JaxArray[]): PeerJob {
  return {
    value: null,
    note: "",
    async time(calls) {
      const start = performance.now();
      for (let done = 0; done < calls; done++) (await jax.blockUntilReady(call())).dispose();
      return (performance.now() - start) / 1000;
    },
    release: () => arrays.forEach((array) => array.dispose()),
  };
}
