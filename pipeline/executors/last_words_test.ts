import assert from "node:assert/strict";
import { lastWords } from "./last_words.ts";

Deno.test("of a panic, its place and message are quoted, without the advice to debug Deno", () => {
  const lines = [
    "https://panic.deno.com/v2.9.6/x86_64-unknown-linux-gnu/k4m4xF",
    "",
    "thread 'main' (16187) panicked at ext/webgpu/queue.rs:97:14:",
    "called `Result::unwrap()` on an `Err` value: Lost",
    "stack backtrace:",
    "note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.",
  ];
  assert.equal(
    lastWords(lines),
    "Deno panicked at ext/webgpu/queue.rs:97:14: called `Result::unwrap()` on an `Err` value: Lost",
  );
  assert.equal(lastWords(lines.slice(0, 3)), "Deno panicked at ext/webgpu/queue.rs:97:14: ");
});

Deno.test("other lines are quoted as they are", () => {
  assert.equal(
    lastWords(["MESA: error", " ", "Segmentation fault"]),
    "MESA: error / Segmentation fault",
  );
  assert.equal(lastWords([]), "");
});
