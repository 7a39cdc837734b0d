/**
 * Files that a test and an oracle in another language exchange: raw little-endian arrays and a request.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";

/** A temporary folder for one comparison; gone at the end of a `using` block. */
export class OracleFolder implements Disposable {
  readonly #folder = Deno.makeTempDirSync();

  /** Writes an array and returns its path. */
  write(name: string, values: Float32Array | Float64Array): string {
    const path = join(this.#folder, name);
    Deno.writeFileSync(
      path,
      new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    );
    return path;
  }

  /** Runs `python SCRIPT REQUEST.json FOLDER`; fails with what the script says. */
  async run(python: string, script: URL, request: unknown): Promise<void> {
    const path = join(this.#folder, "request.json");
    Deno.writeTextFileSync(path, JSON.stringify(request));
    const { success, stderr } = await new Deno.Command(python, {
      args: [script.pathname, path, this.#folder],
    }).output();
    assert(success, new TextDecoder().decode(stderr));
  }

  /** What the oracle left as float64. */
  floats(name: string): Float64Array {
    return new Float64Array(Deno.readFileSync(join(this.#folder, name)).buffer);
  }

  /** What the oracle left as bytes. */
  bytes(name: string): Uint8Array {
    return Deno.readFileSync(join(this.#folder, name));
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#folder, { recursive: true });
  }
}
