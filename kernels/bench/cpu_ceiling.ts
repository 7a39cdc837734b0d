/**
 * The ceiling of multiply-adds of WebAssembly: threads like those of the CPU device, with a module
 * that does nothing else.
 *
 * @module
 */

import { BARRIER, meet } from "../cpu/barrier.ts";
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

/**
 * Multiply-adds on registers, on a number of threads. Twelve chains hide the latency of an instruction
 * and fit x86's sixteen registers; with vectors of 256 bits, twelve pairs.
 */
export function cpuFmaCeiling(threads: number, wide: boolean = usesWideVectors()): Benchmark {
  const vectors = wide ? 24 : 12;
  return {
    suite: "ceilings",
    name: "ceiling fma",
    shape: `${threads} threads, ${4 * vectors} chains`,
    work: { flops: 2 * threads * 4 * vectors * LINKS },
    large: false,
    prepare: () => startFmaThreads(threads, vectors),
  };
}

/** Chains at work. */
export interface FmaThreads extends Job {
  /** Where the chains of a thread are: `x = 0.5 x + 1`, over and over. */
  chains(thread: number): Float32Array;
}

/** Starts threads that link chains of `vectors` vectors. */
export async function startFmaThreads(threads: number, vectors: number): Promise<FmaThreads> {
  const memory = new LinearMemory(2 ** 24);
  const barrier = memory.allocate(BARRIER.bytes, "barrier", true);
  const ranges = Array.from(
    { length: threads },
    (_, thread) => memory.allocate(THREAD_BYTES, `chains of thread ${thread}`, true),
  );
  for (const { address } of ranges) memory.floats(address, 2).set([0.5, 1]);
  const pool = await Threads.start({
    module: await WebAssembly.compile(buildChains(vectors)),
    memory: memory.memory,
    barrier: barrier.address,
    scratch: ranges.map(({ address }) => address),
  });
  return {
    queue(calls) {
      for (let done = 0; done < calls; done++) pool.submit(barrier);
    },
    settle: () => pool.settle(),
    chains: (thread) =>
      memory.floats((ranges[thread] as Range).address + CHAINS_OFFSET, 4 * vectors),
    release: () => pool.close(),
  };
}

/** A module whose `replay` takes what that of the CPU device takes, and runs the chains. */
function buildChains(vectors: number): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder({ memory64: true });
  const replay = module.function({ parameters: ["i64", "i64", "i64", "i32", "i64"] }, (f) => {
    const memory = f.parameter(4, "i64");
    // From memory, so that no compiler can compute the chains in advance.
    const factor = f.let(v128.load32Splat(memory, 0));
    const summand = f.let(v128.load32Splat(memory, 4));
    const chains = Array.from(
      { length: vectors },
      (_, index) => f.let(v128.load(memory, CHAINS_OFFSET + 16 * index)),
    );
    f.for(0, LINKS / UNROLLED, 1, () => {
      for (let link = 0; link < UNROLLED; link++) {
        for (const chain of chains) f.set(chain, f32x4.relaxedMadd(chain, factor, summand));
      }
    });
    chains.forEach((chain, index) => {
      f.do(v128.store(memory, chain, CHAINS_OFFSET + 16 * index));
    });
    meet(f, f.parameter(2, "i64"), f.parameter(3, "i32"), () => {});
  });
  module.export("replay", replay);
  return module.build();
}
