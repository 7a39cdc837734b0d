/**
 * The threads of the CPU device: workers that take jobs from a queue in shared memory, all of them
 * every job, in order. Nothing is copied and nothing awaited between jobs.
 *
 * @module
 */

import { DeviceError } from "../device.ts";
import type { Range } from "./memory.ts";
import {
  BARRIER,
  JOB,
  QUEUE,
  QUEUE_WORDS,
  stopThreads,
  type ThreadMessage,
  type ThreadSetup,
} from "./thread_queue.ts";

/** Milliseconds after which the host looks whether a thread has failed. */
const LONGEST_WAIT = 100;

/** What the threads need of the device. */
export interface ThreadHost {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  /** Address of the barrier, zeroed. */
  readonly barrier: number;
  /** Scratch memory of each thread; as many threads as addresses. */
  readonly scratch: readonly number[];
}

/** A pool of threads. */
export class Threads {
  readonly #barrier: Int32Array;
  readonly #queue: Int32Array<SharedArrayBuffer>;
  /** Programs as [start, end) addresses, beside the queue's words. */
  readonly #programs: BigInt64Array<SharedArrayBuffer>;
  #submitted = 0;
  #signals = 0;
  readonly #waiting = new Map<number, PromiseWithResolvers<void>>();
  #failure: DeviceError | null = null;

  private constructor(workers: readonly Worker[], setup: ThreadSetup) {
    this.#barrier = new Int32Array(setup.memory.buffer, setup.barrier, BARRIER.bytes / 4);
    this.#queue = new Int32Array(setup.queue);
    this.#programs = new BigInt64Array(setup.programs);
    for (const worker of workers) {
      worker.onmessage = ({ data }: MessageEvent<ThreadMessage>) => this.#receive(data);
      worker.onerror = (event) => {
        event.preventDefault();
        this.#fail(event.message);
      };
    }
  }

  /** Starts the threads; they compile nothing, the module is compiled already. */
  static async start(host: ThreadHost): Promise<Threads> {
    const setup: ThreadSetup = {
      ...host,
      threads: host.scratch.length,
      queue: new SharedArrayBuffer(4 * QUEUE_WORDS),
      programs: new SharedArrayBuffer(16 * QUEUE.length),
    };
    const workers = host.scratch.map(() =>
      new Worker(new URL("./thread.ts", import.meta.url), { type: "module" })
    );
    await Promise.all(workers.map((worker, thread) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      worker.onmessage = () => resolve();
      worker.onerror = (event) => {
        event.preventDefault();
        reject(new DeviceError(`A thread of the CPU device did not start: ${event.message}`));
      };
      worker.postMessage({ ...setup, thread });
      return promise;
    }));
    return new Threads(workers, setup);
  }

  /** Jobs submitted so far. */
  get submitted(): number {
    return this.#submitted;
  }

  /** Jobs that all threads have done. */
  get done(): number {
    return Atomics.load(this.#queue, QUEUE.done);
  }

  /** Queues a program. @throws {DeviceError} If a thread has failed. */
  submit({ address, bytes }: Range): void {
    this.#throwFailure();
    const slot = this.#submitted % QUEUE.length;
    this.#makeRoom();
    this.#programs[2 * slot] = BigInt(address);
    this.#programs[2 * slot + 1] = BigInt(address + bytes);
    this.#publish(slot, JOB.program);
  }

  /** Waits until everything submitted is done. @throws {DeviceError} If a thread fails. */
  async settle(): Promise<void> {
    this.#throwFailure();
    if (this.done === this.#submitted) return;
    const slot = this.#submitted % QUEUE.length;
    this.#makeRoom();
    const signal = ++this.#signals;
    const waiting = Promise.withResolvers<void>();
    this.#waiting.set(signal, waiting);
    this.#programs[2 * slot] = BigInt(signal);
    this.#publish(slot, JOB.signal);
    await waiting.promise;
  }

  /** Ends the threads after the kernel call that they are in. */
  close(): void {
    this.#fail("it was closed");
  }

  /** Blocks while the queue is full. @throws {DeviceError} If a thread fails meanwhile. */
  #makeRoom(): void {
    for (;;) {
      const { done } = this;
      if (this.#submitted - done < QUEUE.length) return;
      // The thread's message cannot arrive while this blocks.
      if (Atomics.load(this.#queue, QUEUE.stopped) !== 0) throw stopped("a thread failed");
      // A thread that fails between the two lines has notified nobody.
      Atomics.wait(this.#queue, QUEUE.done, done, LONGEST_WAIT);
    }
  }

  #publish(slot: number, kind: number): void {
    this.#queue[QUEUE.kinds + slot] = kind;
    this.#submitted++;
    Atomics.store(this.#queue, QUEUE.submitted, this.#submitted);
    Atomics.notify(this.#queue, QUEUE.submitted);
  }

  #receive(message: ThreadMessage): void {
    if (message.kind === "failed") {
      this.#fail(message.reason);
      return;
    }
    if (message.kind !== "signal") return;
    this.#waiting.get(message.signal)?.resolve();
    this.#waiting.delete(message.signal);
  }

  #fail(reason: string): void {
    this.#failure ??= stopped(reason);
    for (const { reject } of this.#waiting.values()) reject(this.#failure);
    this.#waiting.clear();
    stopThreads(this.#queue, this.#barrier);
  }

  #throwFailure(): void {
    if (this.#failure !== null) throw this.#failure;
  }
}

function stopped(reason: string): DeviceError {
  return new DeviceError(
    `The CPU device stopped (${reason}): start the program again; if it happens again, report it`,
  );
}
