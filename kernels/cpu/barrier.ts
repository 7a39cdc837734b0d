/**
 * Where the threads of the CPU device meet between two commands.
 *
 * @module
 */

import { BARRIER } from "./thread_queue.ts";
import { i32, i64 } from "./wasm/expression.ts";
import type { FunctionBuilder, Local } from "./wasm/function.ts";

/** Turns of waiting before a thread sleeps: some ten microseconds, which is what waking costs. */
const SPINS = 10_000;

/** Waits for all threads; the last to arrive runs `last` before any goes on. */
export function meet(
  f: FunctionBuilder,
  barrier: Local<"i64">,
  threads: Local<"i32">,
  last: () => void,
): void {
  const roundAddress = i64.add(barrier, BARRIER.round);
  const round = f.let(i32.atomic.load(roundAddress));
  const arrived = f.let(i32.add(i32.atomic.add(barrier, 1), 1));
  f.if(i32.eq(arrived, threads), () => {
    last();
    f.do(i32.atomic.store(barrier, 0));
    f.do(i32.atomic.store(roundAddress, i32.add(round, 1)));
    f.if(i32.gtU(threads, 1), () => f.drop(i32.atomic.notify(roundAddress, -1)));
  }, () => {
    const spins = f.let(i32.const(SPINS));
    const isRunning = i32.eqz(i32.atomic.load(i64.add(barrier, BARRIER.stopped)));
    f.while(i32.and(i32.eq(i32.atomic.load(roundAddress), round), isRunning), () => {
      f.if(spins, () => f.set(spins, i32.sub(spins, 1)), () => {
        f.drop(i32.atomic.wait(roundAddress, round));
      });
    });
  });
}
