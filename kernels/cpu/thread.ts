/**
 * One thread of the CPU device: takes jobs from the queue and runs them until it is stopped.
 *
 * @module
 */

import {
  BARRIER,
  JOB,
  QUEUE,
  stopThreads,
  type ThreadMessage,
  type ThreadSetup,
} from "./thread_queue.ts";

/** `replay` of the kernel module: addresses are 64 bits wide. */
type Replay = (
  program: bigint,
  end: bigint,
  barrier: bigint,
  threads: number,
  scratch: bigint,
) => void;

const scope = self as unknown as {
  onmessage: (event: MessageEvent<ThreadSetup & { thread: number }>) => void;
  postMessage(message: ThreadMessage): void;
};

scope.onmessage = ({ data: { thread, ...setup } }) => {
  const instance = new WebAssembly.Instance(setup.module, { host: { memory: setup.memory } });
  scope.postMessage({ kind: "ready" });
  try {
    work(instance.exports.replay as Replay, setup, thread);
  } catch (error) {
    // At once, not when the host reads the message: it may be waiting for room in the queue.
    stopThreads(
      new Int32Array(setup.queue),
      new Int32Array(setup.memory.buffer, setup.barrier, BARRIER.bytes / 4),
    );
    scope.postMessage({ kind: "failed", reason: String(error) });
  }
  self.close();
};

function work(replay: Replay, setup: ThreadSetup, thread: number): void {
  const queue = new Int32Array(setup.queue);
  const programs = new BigInt64Array(setup.programs);
  const barrier = BigInt(setup.barrier);
  const scratch = BigInt(setup.scratch[thread] ?? 0);
  for (let job = 0;; job++) {
    while (Atomics.load(queue, QUEUE.submitted) === job) {
      if (Atomics.load(queue, QUEUE.stopped) !== 0) return;
      Atomics.wait(queue, QUEUE.submitted, job);
    }
    if (Atomics.load(queue, QUEUE.stopped) !== 0) return;
    const slot = job % QUEUE.length;
    const first = programs[2 * slot] ?? 0n;
    if (queue[QUEUE.kinds + slot] === JOB.program) {
      replay(first, programs[2 * slot + 1] ?? 0n, barrier, setup.threads, scratch);
      // It may have ended early, because another thread failed in it.
      if (Atomics.load(queue, QUEUE.stopped) !== 0) return;
      // All threads meet at the end of a program: when the first is done, all are.
      if (thread !== 0) continue;
    } else {
      // Where they do not, only the last knows that nobody will look at the slot any more.
      const arrivals = QUEUE.arrivals + slot;
      if (Atomics.add(queue, arrivals, 1) + 1 < setup.threads) continue;
      Atomics.store(queue, arrivals, 0);
      scope.postMessage({ kind: "signal", signal: Number(first) });
    }
    Atomics.store(queue, QUEUE.done, job + 1);
    Atomics.notify(queue, QUEUE.done);
  }
}
