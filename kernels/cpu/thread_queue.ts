/**
 * What the device and its threads share beside the linear memory.
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
