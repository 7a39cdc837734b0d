/**
 * TensorBoard's event files: `Event` messages of scalars, each in a TFRecord frame.
 *
 * @module
 */

import { PbfWriter } from "pbf";
import { maskedCrc32c } from "./tensorboard_checksum.ts";

/** Some scalars of one step. */
export interface ScalarEvent {
  /** Seconds since 1970. */
  readonly wallTime: number;
  /** From 1. */
  readonly step: number;
  /** By tag ("loss"); stored in single precision. */
  readonly scalars: Readonly<Record<string, number>>;
}

/** Every file starts with an event that says so. */
const FILE_VERSION = "brain.Event:2";

/** Field numbers of `tensorflow/core/util/event.proto` and `framework/summary.proto`. */
const EVENT = { wallTime: 1, step: 2, fileVersion: 3, summary: 5 } as const;
const SUMMARY = { value: 1 } as const;
const VALUE = { tag: 1, simpleValue: 2 } as const;

/** The content of an event file; its version event carries `started`, seconds since 1970. */
export function encodeEventFile(started: number, events: readonly ScalarEvent[]): Uint8Array {
  const records = [encodeVersion(started), ...events.map(encodeScalars)].map(frame);
  const file = new Uint8Array(records.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const record of records) {
    file.set(record, offset);
    offset += record.length;
  }
  return file;
}

function encodeVersion(started: number): Uint8Array {
  const writer = new PbfWriter();
  writer.writeDoubleField(EVENT.wallTime, started);
  writer.writeStringField(EVENT.fileVersion, FILE_VERSION);
  return writer.finish();
}

function encodeScalars({ wallTime, step, scalars }: ScalarEvent): Uint8Array {
  const writer = new PbfWriter();
  writer.writeDoubleField(EVENT.wallTime, wallTime);
  writer.writeVarintField(EVENT.step, step);
  writer.writeMessage(EVENT.summary, writeSummary, scalars);
  return writer.finish();
}

function writeSummary(scalars: ScalarEvent["scalars"], writer: PbfWriter): void {
  for (const entry of Object.entries(scalars)) {
    writer.writeMessage(SUMMARY.value, writeValue, entry);
  }
}

function writeValue([tag, value]: [string, number], writer: PbfWriter): void {
  writer.writeStringField(VALUE.tag, tag);
  writer.writeFloatField(VALUE.simpleValue, value);
}

/** Length (u64), its masked checksum, the bytes, their masked checksum; all little-endian. */
function frame(bytes: Uint8Array): Uint8Array {
  const record = new Uint8Array(8 + 4 + bytes.length + 4);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(bytes.length), true);
  view.setUint32(8, maskedCrc32c(record.subarray(0, 8)), true);
  record.set(bytes, 12);
  view.setUint32(12 + bytes.length, maskedCrc32c(bytes), true);
  return record;
}
