import assert from "node:assert/strict";
import { encodeMessage, linesOf, readMessages, type WorkerMessage } from "./messages.ts";

function streamOf(...chunks: (string | Uint8Array)[]): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return ReadableStream.from(
    chunks.map((chunk) => typeof chunk === "string" ? encoder.encode(chunk) : chunk),
  );
}

const MESSAGE: WorkerMessage = { kind: "log", key: "k", line: "two\nlines, \x1e and äöü" };

Deno.test("messages survive chunks that split characters and lines", async () => {
  const bytes = encodeMessage(MESSAGE);
  const chunks = [...bytes].map((byte) => Uint8Array.of(byte));
  const lines = await Array.fromAsync(readMessages<WorkerMessage>(streamOf(...chunks)));
  assert.deepEqual(lines, [{ message: MESSAGE }]);
});

Deno.test("output that somebody prints between messages is text", async () => {
  const stream = streamOf("printed\nunfinished", encodeMessage(MESSAGE), "\nlast");
  assert.deepEqual(await Array.fromAsync(readMessages(stream)), [
    { text: "printed" },
    { text: "unfinished" },
    { message: MESSAGE },
    { text: "" },
    { text: "last" },
  ]);
});

Deno.test("the half message of a process that died is text", async () => {
  const half = encodeMessage(MESSAGE).subarray(0, 12);
  const lines = await Array.fromAsync(readMessages(streamOf(half)));
  assert.deepEqual(lines, [{ text: '{"kind":"lo' }]);
});

Deno.test("linesOf() splits at line ends only", async () => {
  assert.deepEqual(await Array.fromAsync(linesOf(streamOf("a\nb", "c\n\n"))), ["a", "bc", ""]);
});
