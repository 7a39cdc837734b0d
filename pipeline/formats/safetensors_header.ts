/**
 * The header of a safetensors file: parsed and laid out under the format's invariants, which hold on
 * reading and on writing alike (https://github.com/huggingface/safetensors, "Format").
 *
 * A file is: the header's size (u64, little-endian), the header (JSON: tensor name to dtype, shape
 * and byte range), and the data, which the ranges cover without holes or overlap.
 *
 * @module
 */

import { UserError } from "../errors.ts";

/** Bytes of one element of each dtype. */
export const DTYPE_BYTES = {
  F64: 8,
  I64: 8,
  U64: 8,
  F32: 4,
  I32: 4,
  U32: 4,
  F16: 2,
  BF16: 2,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
} as const;

/** Element type of a stored tensor. */
export type Dtype = keyof typeof DTYPE_BYTES;

/** Where and how a tensor is stored: row-major, little-endian. */
export interface TensorInfo {
  /** Element type. */
  readonly dtype: Dtype;
  /** Sizes of the dimensions, outermost first; empty for a scalar. */
  readonly shape: readonly number[];
  /** First byte within the data section. */
  readonly begin: number;
  /** Byte after the last. */
  readonly end: number;
}

/** A tensor to be written. */
export interface TensorDeclaration {
  /** Unique within the file. */
  readonly name: string;
  /** Element type as stored. */
  readonly dtype: Dtype;
  /** Sizes of the dimensions, outermost first; empty for a scalar. */
  readonly shape: readonly number[];
}

/** A parsed header. */
export interface Header {
  /** In the order of the header. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** The `__metadata__` entry. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Largest header that the format allows, in bytes. */
export const MAX_HEADER_BYTES = 100_000_000;

/** Number of elements of a shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/**
 * Parses and validates the JSON of a header.
 *
 * @param text The header.
 * @param dataBytes Size of the data section, which the tensors must cover exactly.
 * @param file Name for messages.
 * @throws {UserError} If the header is not JSON, names a tensor twice, or a dtype, shape or byte
 * range is invalid or disagrees with the others or with the size of the file.
 */
export function parseHeader(text: string, dataBytes: number, file: string): Header {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new UserError(`${file}: the safetensors header is not JSON (${messageOf(error)})`);
  }
  if (!isRecord(json)) {
    throw new UserError(`${file}: the safetensors header must be a JSON object of tensors`);
  }
  refuseDuplicateKeys(text, file);
  const tensors = new Map<string, TensorInfo>();
  let metadata: Record<string, string> = {};
  for (const [name, entry] of Object.entries(json)) {
    if (name === "__metadata__") metadata = parseMetadata(entry, file);
    else tensors.set(name, parseTensor(entry, `${file}: tensor "${name}"`));
  }
  checkCoverage(tensors, dataBytes, file);
  return { tensors, metadata };
}

/**
 * Lays tensors out without holes and encodes the header, its size included, padded with spaces so
 * that the data starts at a multiple of 8 bytes. Wider dtypes come first, so that every tensor is
 * aligned to its element size.
 *
 * @param file Name for messages.
 * @throws {UserError} If a name occurs twice or is reserved, a shape is invalid, or the header
 * exceeds {@linkcode MAX_HEADER_BYTES}.
 */
export function encodeHeader(
  declarations: Iterable<TensorDeclaration>,
  metadata: Readonly<Record<string, string>>,
  file: string,
): { readonly bytes: Uint8Array<ArrayBuffer>; readonly tensors: Map<string, TensorInfo> } {
  const sorted = [...declarations].sort((a, b) => DTYPE_BYTES[b.dtype] - DTYPE_BYTES[a.dtype]);
  const tensors = new Map<string, TensorInfo>();
  const entries: [string, unknown][] = [["__metadata__", metadata]];
  let begin = 0;
  for (const { name, dtype, shape } of sorted) {
    if (tensors.has(name) || name === "__metadata__") {
      throw new UserError(`${file}: tensor "${name}" is declared twice; names must be unique`);
    }
    const end = begin + byteLength(dtype, shape, `${file}: tensor "${name}"`);
    tensors.set(name, { dtype, shape, begin, end });
    entries.push([name, { dtype, shape, data_offsets: [begin, end] }]);
    begin = end;
  }
  // Not JSON.stringify of one object, whose integer-like keys would move to the front.
  const pairs = entries.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
  const json = new TextEncoder().encode(`{${pairs.join(",")}}`);
  const size = Math.ceil(json.length / 8) * 8;
  if (size > MAX_HEADER_BYTES) {
    throw new UserError(
      `${file}: a header of ${size} bytes exceeds the format's ${MAX_HEADER_BYTES}; write fewer ` +
        `tensors per file`,
    );
  }
  const bytes = new Uint8Array(8 + size).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(size), true);
  bytes.set(json, 8);
  return { bytes, tensors };
}

function parseTensor(entry: unknown, where: string): TensorInfo {
  if (!isRecord(entry)) {
    throw new UserError(`${where} must be an object with dtype, shape and data_offsets`);
  }
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== "string" || !Object.hasOwn(DTYPE_BYTES, dtype)) {
    throw new UserError(
      `${where} has dtype ${JSON.stringify(dtype)}; supported are ` +
        Object.keys(DTYPE_BYTES).join(", "),
    );
  }
  if (!Array.isArray(shape) || !shape.every(isCount)) {
    throw new UserError(
      `${where} has shape ${JSON.stringify(shape)}; wanted a list of non-negative integers`,
    );
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    throw new UserError(
      `${where} has data_offsets ${JSON.stringify(offsets)}; wanted two non-negative integers`,
    );
  }
  const [begin, end] = offsets as [number, number];
  const bytes = byteLength(dtype as Dtype, shape, where);
  if (end - begin !== bytes) {
    throw new UserError(
      `${where} has data_offsets [${begin}, ${end}], which hold ${end - begin} bytes, but ` +
        `${dtype} [${shape.join(", ")}] takes ${bytes}`,
    );
  }
  return { dtype: dtype as Dtype, shape, begin, end };
}

function byteLength(dtype: Dtype, shape: readonly number[], where: string): number {
  const bytes = elementCount(shape) * DTYPE_BYTES[dtype];
  if (!shape.every(isCount) || !Number.isSafeInteger(bytes)) {
    throw new UserError(
      `${where} has shape [${shape.join(", ")}]; wanted non-negative integers whose product is ` +
        `an exact number of bytes`,
    );
  }
  return bytes;
}

function checkCoverage(
  tensors: ReadonlyMap<string, TensorInfo>,
  dataBytes: number,
  file: string,
): void {
  const byOffset = [...tensors].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  let covered = 0;
  for (const [name, { begin, end }] of byOffset) {
    if (begin !== covered) {
      throw new UserError(
        `${file}: tensor "${name}" starts at data byte ${begin}, but the tensors before it end at ` +
          `${covered}; the format allows no ${begin > covered ? "hole" : "overlap"}`,
      );
    }
    covered = end;
  }
  if (covered !== dataBytes) {
    throw new UserError(
      `${file}: the header describes ${covered} bytes of tensors, but ${dataBytes} follow it; ` +
        `the file is ${covered > dataBytes ? "truncated" : "longer than it says"}`,
    );
  }
}

function parseMetadata(entry: unknown, file: string): Record<string, string> {
  if (!isRecord(entry) || !Object.values(entry).every((value) => typeof value === "string")) {
    throw new UserError(`${file}: "__metadata__" must be an object of strings`);
  }
  return entry as Record<string, string>;
}

/** JSON.parse keeps the last of two equal keys and says nothing; `text` is known to be JSON. */
function refuseDuplicateKeys(text: string, file: string): void {
  const seen: Set<string>[] = [];
  for (const [token, literal, colon] of text.matchAll(/("(?:[^"\\]|\\.)*")\s*(:)?|[{}]/g)) {
    if (token === "{") seen.push(new Set());
    else if (token === "}") seen.pop();
    else if (literal !== undefined && colon !== undefined) {
      const key = JSON.parse(literal) as string;
      if (seen.at(-1)?.has(key)) {
        throw new UserError(`${file}: "${key}" occurs twice in one object of the header`);
      }
      seen.at(-1)?.add(key);
    }
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
