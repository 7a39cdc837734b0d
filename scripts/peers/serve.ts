/**
 * The side of a compared program that is written in TypeScript: answers requests until its input ends.
 *
 * @module
 */

import { TextLineStream } from "./text_lines.ts";
import type { PeerReply, PeerRequest, Workload } from "./protocol.ts";

/** Something to call over and over. */
export interface PeerJob {
  /** See `protocol.ts`. */
  readonly value: number | null;
  /** See `protocol.ts`. */
  readonly note: string;
  /** See `protocol.ts`. */
  readonly work?: number;
  /** Makes a number of calls and waits until they are done; seconds that they took. */
  time(calls: number): Promise<number>;
  /** Frees what the calls need. */
  release(): void;
}

/** The program cannot do this; the message says why. */
export class UnsupportedWorkload extends Error {
  /** Told apart by it in stack traces. */
  override readonly name = "UnsupportedWorkload";
}

/** Answers the driver: `describe` gives names and versions, `prepare` makes a job. */
export async function serve(
  describe: () => string,
  prepare: (workload: Workload) => Promise<PeerJob>,
): Promise<void> {
  let job: PeerJob | null = null;
  const answer = async (request: PeerRequest): Promise<PeerReply> => {
    if (request.do === "describe") return { version: describe() };
    if (request.do === "time") {
      if (job === null) throw new Error("time before prepare");
      return { seconds: await job.time(request.calls) };
    }
    job?.release();
    job = null;
    if (request.do === "release") return {};
    job = await prepare(request.workload);
    const { value, note, work } = job;
    return { value, note, ...(work === undefined ? {} : { work }) };
  };
  const lines = Deno.stdin.readable.pipeThrough(new TextDecoderStream())
    .pipeThrough(new TextLineStream());
  for await (const line of lines) {
    const reply = await answer(JSON.parse(line)).catch((error: unknown): PeerReply =>
      error instanceof UnsupportedWorkload
        ? { unsupported: error.message }
        : { error: String(error) }
    );
    console.log(JSON.stringify(reply));
  }
  // Its threads would keep this process alive. The type system does not see that `answer` sets it.
  (job as PeerJob | null)?.release();
}
