/**
 * What a benchmark is: a name, the work of one call, and a way to queue calls on a device.
 *
 * @module
 */

import type { Device, Operations, Recording } from "../device.ts";
import { Workspace } from "./workspace.ts";

/** What one call does, counted from the mathematics and not from what a kernel happens to do. */
export interface Work {
  /** Floating-point operations of matrix products; a multiply-add is two. */
  readonly flops?: number;
  /** Bytes of every operand, read once, and of every result, written once. */
  readonly bytes?: number;
  /** Tokens processed. */
  readonly tokens?: number;
}

/** Something to time. */
export interface Benchmark {
  /** "kernels": what belongs together. */
  readonly suite: string;
  /** "linear int4". */
  readonly name: string;
  /** "512x128 -> 384". */
  readonly shape: string;
  /** Work of one call. */
  readonly work: Work;
  /** Takes long, or much memory: only runs that ask for it have it. */
  readonly large: boolean;
  /** A call is one step that the host prepares: how long that takes is measured, too. */
  readonly step?: boolean;
  /**
   * Allocates what the calls need, on a device.
   *
   * @throws {RangeError} If a tensor is larger than the device allows.
   * @throws {DeviceError} If the device runs out of memory.
   */
  prepare(device: Device): Job | Promise<Job>;
}

/** A benchmark on a device. */
export interface Job {
  /** Queues a number of calls; waits for nothing. */
  queue(calls: number): void;
  /** Waits for the calls, if it is not the device that works on them. */
  settle?(): Promise<void>;
  /** Frees its memory. */
  release(): void;
}

/** A benchmark of one operation of the contract. */
export interface KernelBenchmark {
  /** See {@linkcode Benchmark}. */
  readonly name: string;
  /** See {@linkcode Benchmark}. */
  readonly shape: string;
  /** See {@linkcode Benchmark}. */
  readonly work: Work;
  /** See {@linkcode Benchmark}; false by default. */
  readonly large?: boolean;
  /** Allocates the operands; the result records one call. */
  arrange(workspace: Workspace): (operations: Operations) => void;
}

/** Makes a kernel's calls one recording, as training replays them. */
export function benchmarkOf(
  { name, shape, work, large = false, arrange }: KernelBenchmark,
): Benchmark {
  return {
    suite: "kernels",
    name,
    shape,
    work,
    large,
    prepare(device) {
      const workspace = new Workspace(device);
      const call = workspace.arrange(arrange);
      const job = new RecordedJob(device, (calls) =>
        device.record(name, (operations) => {
          for (let done = 0; done < calls; done++) call(operations);
        }));
      return {
        queue: (calls) => job.queue(calls),
        release: () => {
          job.release();
          workspace.release();
        },
      };
    },
  };
}

/** Queues calls as replays of one recording, made anew when their number changes. */
export class RecordedJob implements Job {
  readonly #device: Device;
  readonly #record: (calls: number) => Recording;
  #recording: Recording | null = null;
  #calls = 0;

  /** `record` makes a recording of a number of calls. */
  constructor(device: Device, record: (calls: number) => Recording) {
    this.#device = device;
    this.#record = record;
  }

  /** See {@linkcode Job.queue}. */
  queue(calls: number): void {
    if (this.#recording === null || calls !== this.#calls) {
      this.#recording?.release();
      this.#recording = this.#record(calls);
      this.#calls = calls;
    }
    this.#device.run(this.#recording);
  }

  /** See {@linkcode Job.release}. */
  release(): void {
    this.#recording?.release();
    this.#recording = null;
  }
}
