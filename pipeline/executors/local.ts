/**
 * Runs stages on this machine, in a pool of worker processes: a driver that crashes takes one stage
 * with it, not the run.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { DAWN_FOLDER } from "../../kernels/webgpu/dawn.ts";
import { COLLECTOR_FLAGS } from "../environment/garbage.ts";
import type { Executor, ExecutorDescription, StageEvent, StageTask } from "./executor.ts";
import { denoCommand } from "./deno_command.ts";
import type { DeviceName } from "./devices.ts";
import { lastWords } from "./last_words.ts";
import { encodeMessage, linesOf, readMessages, type WorkerMessage } from "./messages.ts";

/** Permissions of a worker. It starts no process and opens no connection. */
const PERMISSIONS = ["--allow-read", "--allow-write", "--allow-env", "--allow-sys"];

const WORKER = fileURLToPath(new URL("../../scripts/worker.ts", import.meta.url));

/** Events after which a stage goes on. */
const UNDER_WAY: readonly string[] = ["started", "progress", "log", "remark"];

/** Lines of a worker's error output that are quoted when it dies. */
const QUOTED_LINES = 5;

/** How the pool is set up. */
export interface LocalOptions {
  /** Worker processes, and so stages at the same time. */
  readonly jobs: number;
  /** Absolute path of the store. */
  readonly store: string;
  /** Device that each worker opens when a stage asks for one. */
  readonly device: DeviceName;
  /** Threads of the CPU device in each worker. */
  readonly threads: number;
  /** URL of the module that exports `stages`. */
  readonly stages: string;
  /** Environment variables of workers, besides those of this process. */
  readonly variables?: Readonly<Record<string, string>>;
}

/** The local executor. Workers start when there is work, and again after they died. */
export class LocalExecutor implements Executor {
  readonly #options: LocalOptions;
  readonly #queue: StageTask[] = [];
  readonly #workers = new Set<WorkerProcess>();
  #events: StageEvent[] = [];
  #wake: (() => void) | null = null;

  /** Starts no process yet. */
  constructor(options: LocalOptions) {
    this.#options = options;
  }

  // deno-lint-ignore require-await -- the interface allows executors that have to wait here
  async submit(task: StageTask): Promise<void> {
    this.#queue.push(task);
    this.#assign();
  }

  async poll(): Promise<readonly StageEvent[]> {
    if (this.#events.length === 0) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    const events = this.#events;
    this.#events = [];
    return events;
  }

  // deno-lint-ignore require-await -- as above
  async cancel(force: boolean): Promise<void> {
    for (const { key } of this.#queue.splice(0)) this.#emit({ kind: "cancelled", key });
    for (const worker of this.#workers) worker.cancel(force);
  }

  /** "local", with as many slots as jobs. */
  describe(): ExecutorDescription {
    return { name: "local", slots: this.#options.jobs };
  }

  /** Ends all workers and waits for their end. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#workers].map((worker) => worker.end()));
  }

  #assign(): void {
    while (this.#queue.length > 0) {
      let idle = [...this.#workers].find((worker) => worker.task === null);
      if (idle === undefined) {
        if (this.#workers.size >= this.#options.jobs) return;
        const worker = new WorkerProcess(this.#options, {
          event: (event) => this.#emit(event),
          exit: () => {
            this.#workers.delete(worker);
            this.#assign();
          },
        });
        this.#workers.add(worker);
        idle = worker;
      }
      idle.start(this.#queue.shift() as StageTask);
    }
  }

  #emit(event: StageEvent): void {
    this.#events.push(event);
    this.#wake?.();
    this.#wake = null;
    if (event.kind === "done" || event.kind === "failed" || event.kind === "cancelled") {
      this.#assign();
    }
  }
}

/** What a worker process tells the pool. */
interface WorkerListener {
  event(event: StageEvent): void;
  exit(): void;
}

class WorkerProcess {
  /** The stage that it runs now. */
  task: StageTask | null = null;
  readonly #listener: WorkerListener;
  readonly #process: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lastErrors: string[] = [];
  readonly #finished: Promise<void>;
  #killed = false;

  constructor(options: LocalOptions, listener: WorkerListener) {
    this.#listener = listener;
    this.#process = new Deno.Command(denoCommand(), {
      args: [
        "run",
        "--no-prompt",
        "--quiet",
        ...COLLECTOR_FLAGS,
        ...PERMISSIONS,
        // Dawn is native code; it is the only such code that a worker may load.
        ...(options.device === "webgpu:dawn" ? [`--allow-ffi=${DAWN_FOLDER}`] : []),
        WORKER,
        ...[options.store, options.device, String(options.threads), options.stages],
      ],
      env: { ...options.variables },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#input = this.#process.stdin.getWriter();
    this.#finished = this.#follow();
  }

  start(task: StageTask): void {
    this.task = task;
    this.#lastErrors.length = 0;
    this.#send({ kind: "run", task });
  }

  cancel(force: boolean): void {
    if (this.task === null) return;
    if (force) {
      this.#killed = true;
      this.#process.kill("SIGKILL");
      // Where the process is a wrapper (npx), the end of input ends what it has started.
      this.#input.close().catch(() => {});
    } else this.#send({ kind: "cancel" });
  }

  /** The end of its input makes a worker stop; one that does not listen is killed by `cancel`. */
  async end(): Promise<void> {
    await this.#input.close().catch(() => {});
    await this.#finished;
  }

  #send(message: Parameters<typeof encodeMessage>[0]): void {
    // A worker that died does not read; its end is reported by `#follow`.
    this.#input.write(encodeMessage(message)).catch(() => {});
  }

  async #follow(): Promise<void> {
    await Promise.all([this.#readOutput(), this.#readErrors()]);
    const status = await this.#process.status;
    const { task } = this;
    // In this order, so that the pool gives no further stage to this worker.
    this.#listener.exit();
    if (task !== null) this.#listener.event(this.#lastEvent(task, status));
  }

  async #readOutput(): Promise<void> {
    for await (const line of readMessages<WorkerMessage>(this.#process.stdout)) {
      if (!("message" in line)) {
        this.#log(line.text);
        continue;
      }
      const { message } = line;
      if (!UNDER_WAY.includes(message.kind)) {
        this.task = null;
      }
      this.#listener.event(message);
    }
  }

  async #readErrors(): Promise<void> {
    for await (const line of linesOf(this.#process.stderr)) {
      this.#lastErrors.push(line);
      if (this.#lastErrors.length > QUOTED_LINES) this.#lastErrors.shift();
      this.#log(line);
    }
  }

  #log(line: string): void {
    if (this.task !== null) this.#listener.event({ kind: "log", key: this.task.key, line });
  }

  #lastEvent({ key, id }: StageTask, status: Deno.CommandStatus): StageEvent {
    if (this.#killed) return { kind: "cancelled", key };
    const how = status.signal === null ? `with exit code ${status.code}` : `by ${status.signal}`;
    const words = lastWords(this.#lastErrors);
    const said = words === "" ? "" : ` (it said: ${words})`;
    return {
      kind: "failed",
      key,
      message: `The worker process was ended ${how} while it ran "${id}"${said}: ` +
        "run the same command again; if it is ended again, use a smaller batch or update the driver",
      trace: null,
    };
  }
}
