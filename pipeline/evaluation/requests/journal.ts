/**
 * Answers that survive an interruption: each is appended to a file as soon as it is there, and read back
 * from it when the same request comes again.
 *
 * A line is the CRC-32 of the rest, in eight hexadecimal digits, a space, and a JSON array: the digest of
 * the request, the answer, and the tokens that were cut from its context. Lines that do not fit their sum
 * are passed over, and what an interruption has left of the last one is cut off.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import type {
  Answer,
  GenerationRequest,
  LogLikelihood,
  LogLikelihoodRequest,
  RequestModel,
  RollingLogLikelihood,
} from "./request.ts";

/**
 * The same model with a journal at `path`, which answers what it already has an answer to. The file
 * belongs to one model with one set of options: whoever names it makes sure of that.
 */
export function journaled(model: RequestModel, path: string): RequestModel {
  return {
    logLikelihoods: (requests) =>
      answer<LogLikelihoodRequest, LogLikelihood>(
        path,
        requests,
        ({ context, continuation }) => ["continuation", context, continuation],
        (missing) => model.logLikelihoods(missing),
      ),
    rollingLogLikelihoods: (texts) =>
      answer<string, RollingLogLikelihood>(
        path,
        texts,
        (text) => ["text", text],
        (missing) => model.rollingLogLikelihoods(missing),
      ),
    generations: (requests) =>
      answer<GenerationRequest, string>(
        path,
        requests,
        ({ context, until, maxNewTokens, temperature, topK, topP, repeat = 0 }) => [
          ...["generation", context, until, maxNewTokens, temperature],
          ...[topK ?? null, topP ?? null, repeat],
        ],
        (missing) => model.generations(missing),
      ),
  };
}

/** Answers from the journal, then those of the model, which go into the journal first. */
async function* answer<Request, Value>(
  path: string,
  requests: readonly Request[],
  contents: (request: Request) => unknown,
  ask: (missing: readonly Request[]) => AsyncIterable<Answer<Value>>,
): AsyncGenerator<Answer<Value>> {
  using journal = Journal.open(path);
  const keys = requests.map((request) => digestOf(contents(request)));
  const missing: number[] = [];
  for (const [index, key] of keys.entries()) {
    const known = journal.get(key);
    if (known === undefined) missing.push(index);
    else yield { index, ...known as Omit<Answer<Value>, "index"> };
  }
  if (missing.length === 0) return;
  for await (const { index, ...found } of ask(missing.map((index) => requests[index] as Request))) {
    const original = missing[index] as number;
    journal.append(keys[original] as string, found);
    yield { index: original, ...found };
  }
}

/** An answer without its number. */
interface Entry {
  readonly value: unknown;
  readonly truncated?: number;
}

/** An open journal. */
class Journal {
  readonly #file: Deno.FsFile;
  readonly #entries: Map<string, Entry>;

  private constructor(file: Deno.FsFile, entries: Map<string, Entry>) {
    this.#file = file;
    this.#entries = entries;
  }

  /** Opens or begins a journal, and cuts off a line without end. */
  static open(path: string): Journal {
    const file = Deno.openSync(path, { create: true, read: true, write: true });
    try {
      const bytes = Deno.readFileSync(path);
      const entries = new Map<string, Entry>();
      let size = 0;
      for (let end; (end = bytes.indexOf(10, size)) >= 0; size = end + 1) {
        const line = parseLine(bytes.subarray(size, end));
        if (line !== null) entries.set(line.key, line.entry);
      }
      file.truncateSync(size);
      file.seekSync(size, Deno.SeekMode.Start);
      return new Journal(file, entries);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  get(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  append(key: string, { value, truncated = 0 }: Entry): void {
    const text = JSON.stringify([key, value, truncated]);
    let bytes = new TextEncoder().encode(`${checksum(new TextEncoder().encode(text))} ${text}\n`);
    while (bytes.length > 0) bytes = bytes.subarray(this.#file.writeSync(bytes));
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/** The entry of a line without its end; null if it is none. */
function parseLine(bytes: Uint8Array): { readonly key: string; readonly entry: Entry } | null {
  const text = bytes.subarray(9);
  if (new TextDecoder().decode(bytes.subarray(0, 9)) !== `${checksum(text)} `) return null;
  const [key, value, truncated] = JSON.parse(new TextDecoder().decode(text));
  return { key, entry: { value, ...(truncated > 0 && { truncated }) } };
}

function checksum(bytes: Uint8Array): string {
  return crc32(bytes).toString(16).padStart(8, "0");
}

function digestOf(contents: unknown): string {
  return createHash("sha256").update(JSON.stringify(contents)).digest("hex");
}
