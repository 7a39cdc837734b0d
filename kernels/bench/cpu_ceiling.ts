/**
 * The ceiling of multiply-adds of WebAssembly: threads like those of the CPU device, with a module
 * that does nothing else.
 *
 * @module
 */

import { meet } from "../cpu/barrier.ts";
import { BARRIER } from "../cpu/thread_queue.ts";
import { LinearMemory, type Range } from "../cpu/memory.ts";
import { Threads } from "../cpu/threads.ts";
import { usesWideVectors } from "../cpu/wide_vectors.ts";
import { f32x4, v128 } from "../cpu/wasm/expression.ts";
import { ModuleBuilder } from "../cpu/wasm/module.ts";
import type { Benchmark, Job } from "./benchmark.ts";

/** Multiply-adds of each chain in one call: a millisecond or so. */
const LINKS = 2 ** 18;

/** Links written out in the body of the loop. */
const UNROLLED = 8;

/** Where the chains lie in a thread's memory, behind the factor and the summand. */
const CHAINS_OFFSET = 64;

/** Bytes of a thread's memory. */
const THREAD_BYTES = 1024;

/** Width of vectors in bits: what WebAssembly says, or what V8 packs two of them into. */
export type VectorBits = 128 | 256;

/** Chains of each width: twelve hide the latency of an instruction and fit x86's sixteen registers. */
const VECTORS: Readonly<Record<VectorBits, number>> = { 128: 12, 256: 24 };

/** Multiply-adds on registers, on a number of threads; by default with the widest vectors there are. */
export function cpuFmaCeiling(
  threads: number,
  bits: VectorBits = usesWideVectors() ? 256 : 128,
): Benchmark {
  const lanes = 4 * VECTORS[bits];
  return {
    suite: "ceilings",
    name: "ceiling fma",
    shape: `${threads} threads, ${lanes} chains`,
    work: { flops: 2 * threads * lanes * LINKS },
    large: false,
    prepare: () => startFmaThreads(threads, bits),
  };
}

/** Chains at work. */
export interface FmaThreads extends Job {
  /** What the chains of a thread have come to, by `x = 0.5 x + 1`, over and over. */
  chains(thread: number): readonly number[];
}

/** Starts threads that wait for calls. */
export async function startFmaThreads(threads: number, bits: VectorBits): Promise<FmaThreads> {
  const memory = new LinearMemory(2 ** 24);
  const barrier = memory.allocate(BARRIER.bytes, "barrier", true);
  const ranges = Array.from(
    { length: threads },
    (_, thread) => memory.allocate(THREAD_BYTES, `chains of thread ${thread}`, true),
  );
  for (const { address } of ranges) memory.floats(address, 2).set([0.5, 1]);
  const pool = await Threads.start({
    module: await WebAssembly.compile(buildChains(bits)),
    memory: memory.memory,
    barrier: barrier.address,
    scratch: ranges.map(({ address }) => address),
  });
  return {
    queue(calls) {
      for (let done = 0; done < calls; done++) pool.submit(barrier);
    },
    settle: () => pool.settle(),
    chains(thread) {
      const { address } = ranges[thread] as Range;
      return Array.from({ length: VECTORS[bits] }, (_, vector) => [
        ...memory.floats(address + CHAINS_OFFSET + vector * chainStride(bits), 4),
      ]).flat();
    },
    release: () => pool.close(),
  };
}

/** V8 packs vectors that lie side by side in memory; a gap keeps them apart. */
function chainStride(bits: VectorBits): number {
  return bits === 256 ? 16 : 32;
}

/** A module whose `replay` takes what that of the CPU device takes, and runs the chains. */
function buildChains(bits: VectorBits): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder({ memory64: true });
  const replay = module.function({ parameters: ["i64", "i64", "i64", "i32", "i64"] }, (f) => {
    const memory = f.parameter(4, "i64");
    const stride = chainStride(bits);
    // From memory, so that no compiler can compute the chains in advance.
    const factor = f.let(v128.load32Splat(memory, 0));
    const summand = f.let(v128.load32Splat(memory, 4));
    const chains = Array.from(
      { length: VECTORS[bits] },
      (_, index) => f.let(v128.load(memory, CHAINS_OFFSET + index * stride)),
    );
    f.for(0, LINKS / UNROLLED, 1, () => {
      for (let link = 0; link < UNROLLED; link++) {
        for (const chain of chains) f.set(chain, f32x4.relaxedMadd(chain, factor, summand));
      }
    });
    chains.forEach((chain, index) => {
      f.do(v128.store(memory, chain, CHAINS_OFFSET + index * stride));
    });
    meet(f, f.parameter(2, "i64"), f.parameter(3, "i32"), () => {});
  });
  module.export("replay", replay);
  return module.build();
}
