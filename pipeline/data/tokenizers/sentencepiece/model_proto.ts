/**
 * Reading a SentencePiece `tokenizer.model`: the message `ModelProto` of `sentencepiece_model.proto`.
 *
 * @module
 */

import { PbfReader } from "pbf";
import { UserError } from "../../../errors.ts";

/** What a piece is (`ModelProto.SentencePiece.Type`). */
export const PIECE_TYPE = {
  normal: 1,
  unknown: 2,
  control: 3,
  userDefined: 4,
  unused: 5,
  byte: 6,
} as const;

/** How text is cut (`TrainerSpec.ModelType`). */
export const MODEL_TYPE = { unigram: 1, bpe: 2, word: 3, char: 4 } as const;

/** A piece of a vocabulary; its id is its place in the list. */
export interface Piece {
  readonly piece: string;
  readonly score: number;
  /** One of {@linkcode PIECE_TYPE}. */
  readonly type: number;
}

/** `NormalizerSpec`. */
export interface NormalizerSpec {
  /** Compiled rules; empty if there are none. */
  readonly charactersMap: Uint8Array;
  readonly addDummyPrefix: boolean;
  readonly removeExtraWhitespaces: boolean;
  readonly escapeWhitespaces: boolean;
}

/** What the encoder has to know of `ModelProto`. */
export interface ModelProto {
  readonly pieces: readonly Piece[];
  /** One of {@linkcode MODEL_TYPE}. */
  readonly modelType: number;
  readonly byteFallback: boolean;
  /** Whether the space of a word is written after it. */
  readonly treatWhitespaceAsSuffix: boolean;
  /** Pieces by their role; a model may lack them. */
  readonly bosPiece: string;
  readonly eosPiece: string;
  readonly padPiece: string;
  readonly normalizer: NormalizerSpec;
}

/** The wire type of texts, bytes and messages. */
const LENGTH_DELIMITED = 2;

const decoder = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/**
 * Reads a message; what it lacks has the defaults of `sentencepiece_model.proto`.
 *
 * @param name What to call the file in messages.
 * @throws {UserError} If the bytes are no such message, or it has no pieces.
 */
export function readModelProto(bytes: Uint8Array, name: string): ModelProto {
  const pieces: Piece[] = [];
  const normalizer: Mutable<NormalizerSpec> = {
    charactersMap: new Uint8Array(),
    addDummyPrefix: true,
    removeExtraWhitespaces: true,
    escapeWhitespaces: true,
  };
  const model: Mutable<ModelProto> = {
    pieces,
    modelType: MODEL_TYPE.unigram,
    byteFallback: false,
    treatWhitespaceAsSuffix: false,
    bosPiece: "<s>",
    eosPiece: "</s>",
    padPiece: "<pad>",
    normalizer,
  };
  try {
    const reader = new PbfReader(bytes);
    reader.readFields((field) => {
      if (field === 1) pieces.push(readPiece(reader));
      else if (field === 2) readMessage(reader, (field) => readTrainerField(field, model, reader));
      else if (field === 3) {
        readMessage(reader, (field) => readNormalizerField(field, normalizer, reader));
      }
    }, null);
    checkEnd(reader, bytes.length);
  } catch (error) {
    throw new UserError(
      `${name}: not a SentencePiece model, or a damaged one ` +
        `(${error instanceof Error ? error.message : error}); download it again`,
    );
  }
  if (pieces.length === 0) {
    throw new UserError(`${name}: a SentencePiece model without pieces; download it again`);
  }
  return model;
}

function readPiece(reader: PbfReader): Piece {
  const piece: Mutable<Piece> = { piece: "", score: 0, type: PIECE_TYPE.normal };
  readMessage(reader, (field) => {
    if (field === 1) piece.piece = readText(reader);
    else if (field === 2) piece.score = reader.readFloat();
    else if (field === 3) piece.type = reader.readVarint();
  });
  if (piece.piece === "") throw new RangeError(`an empty piece before byte ${reader.pos}`);
  return piece;
}

function readTrainerField(field: number, model: Mutable<ModelProto>, reader: PbfReader): void {
  if (field === 3) model.modelType = reader.readVarint();
  else if (field === 24) model.treatWhitespaceAsSuffix = reader.readBoolean();
  else if (field === 35) model.byteFallback = reader.readBoolean();
  else if (field === 46) model.bosPiece = readText(reader);
  else if (field === 47) model.eosPiece = readText(reader);
  else if (field === 48) model.padPiece = readText(reader);
}

function readNormalizerField(
  field: number,
  normalizer: Mutable<NormalizerSpec>,
  reader: PbfReader,
): void {
  if (field === 2) normalizer.charactersMap = readBytes(reader);
  else if (field === 3) normalizer.addDummyPrefix = reader.readBoolean();
  else if (field === 4) normalizer.removeExtraWhitespaces = reader.readBoolean();
  else if (field === 5) normalizer.escapeWhitespaces = reader.readBoolean();
}

/** Reads a message within a message. The library reads beyond the end of either without a word. */
function readMessage(reader: PbfReader, readField: (field: number) => void): void {
  const end = readLength(reader);
  reader.readFields(readField, null, end);
  checkEnd(reader, end);
}

function readBytes(reader: PbfReader): Uint8Array {
  const end = readLength(reader);
  const bytes = reader.buf.subarray(reader.pos, end);
  reader.pos = end;
  return bytes;
}

/** The library's own reading of texts drops a byte order mark. */
function readText(reader: PbfReader): string {
  return decoder.decode(readBytes(reader));
}

/** The end of a field with a length. */
function readLength(reader: PbfReader): number {
  const start = reader.pos;
  if (reader.type !== LENGTH_DELIMITED) throw new RangeError(`a wrong type at byte ${start}`);
  const end = reader.readVarint() + reader.pos;
  if (!(end <= reader.length)) {
    throw new RangeError(`the file ends within a field at byte ${start}`);
  }
  return end;
}

function checkEnd(reader: PbfReader, end: number): void {
  if (reader.pos !== end) throw new RangeError(`a field reaches beyond its end at byte ${end}`);
}
