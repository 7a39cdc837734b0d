/**
 * What the device and its threads share: the queue of jobs, and the barrier in the linear memory.
 *
 * @module
 */

/** Jobs that may wait. */
const LENGTH = 256;

/** Layout of the queue in 32-bit words. */
export const QUEUE = {
  /** Jobs submitted since the start. */
  submitted: 0,
  /** Jobs done by all threads since the start. */
  done: 1,
  /** Not 0 once the threads shall end. */
  stopped: 2,
  /** One kind per slot; job `n` is in slot `n % length`. */
  kinds: 3,
  /** Per slot, the threads that have seen the signal in it. */
  arrivals: 3 + LENGTH,
  length: LENGTH,
} as const;

/** Words of the queue. */
export const QUEUE_WORDS = QUEUE.arrivals + LENGTH;

/** Kinds of jobs. */
export const JOB = {
  /** Run the commands between two addresses. */
  program: 0,
  /** Tell the host that everything before is done. */
  signal: 1,
} as const;

/** Layout of the barrier in memory, in bytes. */
export const BARRIER = {
  /** u32: threads that have arrived. */
  arrived: 0,
  /** u32: how often all have arrived; what the others wait for. */
  round: 4,
  /** u32: not 0 once the device is closed or a thread has failed: nobody waits any more. */
  stopped: 8,
  bytes: 12,
} as const;

/**
 * Stops all threads after the kernel call that they are in, and wakes the host if it waits for room.
 *
 * A thread that sleeps does not hear `Worker.terminate`: it has to be woken, and ends itself.
 */
export function stopThreads(queue: Int32Array, barrier: Int32Array): void {
  // First the queue: a thread that no longer waits at the barrier must see that its job failed.
  Atomics.store(queue, QUEUE.stopped, 1);
  Atomics.store(barrier, BARRIER.stopped / 4, 1);
  Atomics.notify(barrier, BARRIER.round / 4);
  Atomics.notify(queue, QUEUE.submitted);
  Atomics.notify(queue, QUEUE.done);
}

/** What every thread is told at its start. */
export interface ThreadSetup {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly barrier: number;
  readonly scratch: readonly number[];
  readonly threads: number;
  /** {@linkcode QUEUE_WORDS} words. */
  readonly queue: SharedArrayBuffer;
  /** Two 64-bit words per slot: the addresses of a program, or the number of a signal. */
  readonly programs: SharedArrayBuffer;
}

/** What a thread tells the host. */
export type ThreadMessage =
  | { readonly kind: "ready" }
  | { readonly kind: "signal"; readonly signal: number }
  | { readonly kind: "failed"; readonly reason: string };
