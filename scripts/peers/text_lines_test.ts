import assert from "node:assert/strict";
import { TextLineStream } from "./text_lines.ts";

Deno.test("TextLineStream joins pieces and cuts lines", async () => {
  const pieces = ["a", "b\nc\n", "", "\nd", "e"];
  const lines = await Array.fromAsync(
    ReadableStream.from(pieces).pipeThrough(new TextLineStream()),
  );
  assert.deepEqual(lines, ["ab", "c", "", "de"]);
});
