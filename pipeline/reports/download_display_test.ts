import assert from "node:assert/strict";
import { DownloadDisplay } from "./download_display.ts";
import type { ProgressOutput } from "./error_output.ts";

function record(terminal: boolean) {
  const written: string[] = [];
  const clock = { now: 0 };
  const output: ProgressOutput = {
    write: (text) => written.push(text),
    terminal,
    color: false,
    columns: () => 120,
    now: () => clock.now,
  };
  const display = new DownloadDisplay(output);
  const report = (now: number, done: number, rate: number) => {
    clock.now = now;
    const progress = { repository: "hf:org/name", file: "model.safetensors", total: 2e9 };
    display.report({ ...progress, done, rate });
  };
  return { display, report, written };
}

Deno.test("DownloadDisplay writes plain lines, seldom, where lines cannot be overwritten", () => {
  const { report, written } = record(false);
  report(0, 0, 0);
  assert.deepEqual(written, [], "nothing has arrived");
  report(0, 1e6, 0);
  report(100, 2e6, 1e7);
  report(6000, 1e9, 1e8);
  report(7000, 11e8, 1e8);
  report(16000, 2e9, 125e6);
  assert.deepEqual(written, [
    "hf:org/name: downloading 2.0 GB\n",
    "hf:org/name: 1.0 GB of 2.0 GB, 100 MB/s, 0:10 left, model.safetensors\n",
    "hf:org/name: 2.0 GB downloaded in 0:16\n",
  ]);
});

Deno.test("DownloadDisplay overwrites its line on a terminal, and leaves none behind", () => {
  const { display, report, written } = record(true);
  report(0, 1, 0);
  report(500, 1e9, 1e8);
  display.notice("waiting");
  report(1000, 1e9, 1e8);
  display.close();
  const line = "hf:org/name  ██████████░░░░░░░░░░  1.0 GB of 2.0 GB, 100 MB/s, 0:10 left, " +
    "model.safetensors";
  const erase = "\r\x1b[K";
  assert.deepEqual(written, [line, erase, "waiting\n", line, erase]);
});
