/**
 * A worker process: runs the stages that its parent sends, one at a time, and keeps the device open
 * between them.
 *
 * @module
 */

import type { Device } from "../../kernels/device.ts";
import type { Progress, Stage } from "../graph/stage.ts";
import { Store } from "../graph/store.ts";
import { isExpected } from "../graph/expected_error.ts";
import { type DeviceName, openDevice } from "./devices.ts";
import type { StageTask } from "./executor.ts";
import { encodeMessage, readMessages, type WorkerMessage, type WorkerRequest } from "./messages.ts";
import { runStage } from "./run_stage.ts";

/** Time between two reports: nobody reads faster. */
const PROGRESS_MILLISECONDS = 100;

/** How a worker is set up; its command line. */
export interface WorkerOptions {
  /** Absolute path. */
  readonly store: string;
  /** Opened when a stage asks for it. */
  readonly device: DeviceName;
  /** Threads of the CPU device. */
  readonly threads: number;
  /** URL of a module that exports `stages`. */
  readonly stages: string;
}

/** Serves requests on the standard input until it ends. */
export async function serveWorker(options: WorkerOptions): Promise<void> {
  // Ctrl-C reaches every process of the terminal; the parent decides what it means.
  Deno.addSignalListener("SIGINT", () => {});
  const { stages } = await import(options.stages) as { stages: readonly Stage[] };
  using store = await Store.open(options.store);
  const worker = new Worker(stages, store, options);
  for await (const line of readMessages<WorkerRequest>(Deno.stdin.readable)) {
    if (!("message" in line)) continue;
    if (line.message.kind === "cancel") worker.cancel();
    else worker.start(line.message.task);
  }
  worker.cancel();
  await worker.finished;
}

class Worker {
  finished: Promise<void> = Promise.resolve();
  readonly #stages: readonly Stage[];
  readonly #store: Store;
  readonly #options: WorkerOptions;
  #device: Device | null = null;
  #abort = new AbortController();

  constructor(stages: readonly Stage[], store: Store, options: WorkerOptions) {
    this.#stages = stages;
    this.#store = store;
    this.#options = options;
  }

  cancel(): void {
    this.#abort.abort(new Error("The run was interrupted"));
  }

  start(task: StageTask): void {
    this.#abort = new AbortController();
    this.finished = this.#run(task);
  }

  async #run(task: StageTask): Promise<void> {
    const { key } = task;
    const { signal } = this.#abort;
    const reports = throttle((progress: Progress) => send({ kind: "progress", key, progress }));
    send({ kind: "started", key });
    try {
      await runStage(task, {
        stages: this.#stages,
        store: this.#store,
        device: async () => this.#device ??= await openDevice(this.#options.device, this.#options),
        report: reports.call,
        log: (line) => send({ kind: "log", key, line }),
        remark: (line) => send({ kind: "remark", key, line }),
        signal,
      });
      reports.cancel();
      send({ kind: "done", key });
    } catch (error) {
      reports.cancel();
      this.#dropDevice();
      send(signal.aborted ? { kind: "cancelled", key } : failure(key, error));
    }
  }

  /** A device that has seen an error may be lost or out of memory; the next stage gets a new one. */
  #dropDevice(): void {
    try {
      this.#device?.close();
    } catch {
      // Lost already.
    }
    this.#device = null;
  }
}

/**
 * Passes calls on, at most one in {@linkcode PROGRESS_MILLISECONDS}; of those in between, the last one
 * when that time is over, because it may describe what takes long.
 */
function throttle<Value>(
  pass: (value: Value) => void,
): { call(value: Value): void; cancel(): void } {
  let last = -Infinity;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const passNow = (value: Value) => {
    clearTimeout(timer);
    timer = undefined;
    last = performance.now();
    pass(value);
  };
  return {
    call: (value) => {
      clearTimeout(timer);
      const wait = last + PROGRESS_MILLISECONDS - performance.now();
      if (wait <= 0) passNow(value);
      else timer = setTimeout(() => passNow(value), wait);
    },
    cancel: () => clearTimeout(timer),
  };
}

function failure(key: string, error: unknown): WorkerMessage {
  if (!(error instanceof Error)) {
    return { kind: "failed", key, message: String(error), trace: null };
  }
  const trace = isExpected(error) ? null : error.stack ?? null;
  return { kind: "failed", key, message: error.message, trace };
}

/** Blocks until the message is in the pipe, so that none is lost when the process dies next. */
function send(message: WorkerMessage): void {
  let bytes = encodeMessage(message);
  try {
    while (bytes.length > 0) bytes = bytes.subarray(Deno.stdout.writeSync(bytes));
  } catch (error) {
    // Without a parent nobody listens; the end of the standard input ends this process.
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}
