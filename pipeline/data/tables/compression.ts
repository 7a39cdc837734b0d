/**
 * Files as bytes, decompressed as the ending of their name says.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { UserError } from "../../errors.ts";

/** How a kind of compressed file is read. */
interface Compression {
  readonly name: string;
  read(path: string): AsyncIterable<Uint8Array>;
}

const COMPRESSIONS: ReadonlyMap<string, Compression> = new Map([
  [".gz", { name: "gzip", read: readGzip }],
  [".bz2", { name: "bzip2", read: (path) => readWhole(path, decompressBzip2) }],
  // Decoders are loaded where a file needs them: every worker would hold them otherwise.
  // Not node:zlib, which takes the beginning of a truncated file for the whole (Deno 2.9). This
  // decoder notices that, but does not compare checksums, which not all files have.
  [".zst", { name: "zstd", read: (path) => readWhole(path, decompressZstd) }],
]);

/** The ending of a compressed file's name (".gz"), or "". */
export function compressionOf(path: string): string {
  return [...COMPRESSIONS.keys()].find((ending) => path.toLowerCase().endsWith(ending)) ?? "";
}

/**
 * The content of a file in pieces; `.gz`, `.bz2` and `.zst` are decompressed.
 *
 * @throws {UserError} If there is no such file, it is a folder, or it is not what its name says: of
 * another kind, cut off, or damaged.
 */
export async function* readBytes(path: string): AsyncGenerator<Uint8Array> {
  try {
    // createReadStream() would say so only in the middle of a stack of streams.
    if ((await stat(path)).isDirectory()) {
      throw new UserError(`${path} is a folder; name its files, as with ${path}/*`);
    }
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`Cannot read ${path}: ${reasonOf(error)}`);
  }
  const compression = COMPRESSIONS.get(compressionOf(path));
  if (compression === undefined) {
    yield* createReadStream(path) as AsyncIterable<Uint8Array>;
    return;
  }
  try {
    yield* compression.read(path);
  } catch (error) {
    throw new UserError(
      `${path}: not a whole ${compression.name} file (${reasonOf(error)}); get it again, or ` +
        `correct the ending of its name`,
    );
  }
}

/** The whole content of a file; throws as {@linkcode readBytes}. */
export async function readAllBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: Uint8Array[] = [];
  for await (const piece of readBytes(path)) pieces.push(piece);
  return joinBytes(pieces);
}

/** Pieces one after the other. */
export function joinBytes(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const piece of pieces) {
    bytes.set(piece, offset);
    offset += piece.length;
  }
  return bytes;
}

async function* readGzip(path: string): AsyncGenerator<Uint8Array> {
  const file = createReadStream(path);
  const unpacked = createGunzip();
  file.on("error", (error) => unpacked.destroy(error));
  try {
    yield* file.pipe(unpacked) as Readable as AsyncIterable<Uint8Array>;
  } finally {
    // Not all of it may be wanted.
    file.destroy();
  }
}

/** For formats whose decoders want all bytes at once. */
async function* readWhole(
  path: string,
  decompress: (bytes: Uint8Array) => Promise<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const bytes = await readFile(path);
  if (bytes.length === 0) throw new Error("it is empty");
  yield await decompress(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length));
}

async function decompressZstd(bytes: Uint8Array): Promise<Uint8Array> {
  return (await import("hyparquet-compressors")).decompressZstd(bytes);
}

async function decompressBzip2(bytes: Uint8Array): Promise<Uint8Array> {
  const { default: Bunzip } = await import("seek-bzip");
  // The flag reads all of several streams, which parallel compressors write.
  return Bunzip.decode(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), undefined, true);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
