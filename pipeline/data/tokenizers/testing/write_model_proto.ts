/**
 * Writing SentencePiece models, for tests.
 *
 * @module
 */

import { PbfWriter } from "pbf";
import type { ModelProto, NormalizerSpec, Piece } from "../sentencepiece/model_proto.ts";

/** The bytes of a `tokenizer.model`; what is not given is not written. */
export function writeModelProto(
  model: Partial<Omit<ModelProto, "normalizer">> & {
    readonly normalizer?: Partial<NormalizerSpec>;
  },
): Uint8Array<ArrayBuffer> {
  const writer = new PbfWriter();
  for (const piece of model.pieces ?? []) writer.writeMessage(1, writePiece, piece);
  writer.writeMessage(2, writeTrainer, model);
  writer.writeMessage(3, writeNormalizer, model.normalizer ?? {});
  return Uint8Array.from(writer.finish());
}

function writePiece(piece: Piece, writer: PbfWriter): void {
  writer.writeStringField(1, piece.piece);
  writer.writeFloatField(2, piece.score);
  writer.writeVarintField(3, piece.type);
}

function writeTrainer(model: Partial<Omit<ModelProto, "normalizer">>, writer: PbfWriter): void {
  if (model.modelType !== undefined) writer.writeVarintField(3, model.modelType);
  if (model.treatWhitespaceAsSuffix) writer.writeBooleanField(24, true);
  if (model.byteFallback) writer.writeBooleanField(35, true);
  if (model.bosPiece !== undefined) writer.writeStringField(46, model.bosPiece);
  if (model.eosPiece !== undefined) writer.writeStringField(47, model.eosPiece);
  if (model.padPiece !== undefined) writer.writeStringField(48, model.padPiece);
}

function writeNormalizer(normalizer: Partial<NormalizerSpec>, writer: PbfWriter): void {
  const { charactersMap, addDummyPrefix, removeExtraWhitespaces, escapeWhitespaces } = normalizer;
  if (charactersMap !== undefined) writer.writeBytesField(2, charactersMap);
  if (addDummyPrefix !== undefined) writer.writeBooleanField(3, addDummyPrefix);
  if (removeExtraWhitespaces !== undefined) writer.writeBooleanField(4, removeExtraWhitespaces);
  if (escapeWhitespaces !== undefined) writer.writeBooleanField(5, escapeWhitespaces);
}
