/**
 * A program that takes part in a comparison, as a child process.
 *
 * @module
 */

import { TextLineStream } from "./text_lines.ts";
import type { PeerReply, PeerRequest, Workload } from "./protocol.ts";

/** How to start a program. */
export interface ProgramCommand {
  /** "PyTorch". */
  readonly name: string;
  /** Program and arguments. */
  readonly command: readonly string[];
  /** Variables beside those of this process. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Time that a program has to end after its input. */
const GRACE_MILLISECONDS = 5000;

/** A running program. */
export class Program implements AsyncDisposable {
  /** "PyTorch". */
  readonly name: string;
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #output: ReadableStreamDefaultReader<string>;

  /** Starts it, on some processors only if `taskset` can say so. */
  constructor({ name, command, env = {} }: ProgramCommand, processors: readonly number[] | null) {
    const pinned = processors === null
      ? command
      : ["taskset", "--cpu-list", processors.join(","), ...command];
    const [program = "", ...args] = pinned;
    this.name = name;
    this.#child = new Deno.Command(program, {
      args,
      env,
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.#output = this.#child.stdout.pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream()).getReader();
  }

  /** Name and versions of what computes. */
  async describe(): Promise<string> {
    const { version = "" } = await this.#ask({ do: "describe" });
    return version;
  }

  /** Sets a workload up, in place of the one before; the reply may be `unsupported`. */
  async prepare(workload: Workload): Promise<PeerReply> {
    return await this.#ask({ do: "prepare", workload });
  }

  /** Seconds of a number of calls. */
  async time(calls: number): Promise<number> {
    const { seconds } = await this.#ask({ do: "time", calls });
    if (seconds === undefined) throw new Error(`${this.name} did not say how long it took`);
    return seconds;
  }

  /** Frees what the workload needs. */
  async release(): Promise<void> {
    await this.#ask({ do: "release" });
  }

  /** Ends the program. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close().catch(() => {});
    await this.#output.cancel();
    const deadline = setTimeout(() => this.#child.kill(), GRACE_MILLISECONDS);
    await this.#child.status;
    clearTimeout(deadline);
  }

  /** @throws {Error} If the program ends, or says that it failed. */
  async #ask(request: PeerRequest): Promise<PeerReply> {
    const line = new TextEncoder().encode(JSON.stringify(request) + "\n");
    await this.#input.write(line).catch(() => {});
    const { value } = await this.#output.read();
    if (value === undefined) throw new Error(`${this.name} ended before it answered`);
    const reply = JSON.parse(value) as PeerReply;
    if (reply.error !== undefined) throw new Error(`${this.name}: ${reply.error}`);
    return reply;
  }
}
