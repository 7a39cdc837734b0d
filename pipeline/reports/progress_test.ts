import assert from "node:assert/strict";
import type { StageEvent } from "../executors/executor.ts";
import type { Plan } from "../graph/plan.ts";
import { ProgressView } from "./progress.ts";

const PLAN = {
  experiment: { axes: [] },
  cells: [],
  stages: ["base", "tuned"].map((id) => ({
    key: id,
    id,
    identity: { upstream: [] },
    cells: [0],
    decision: { action: "runs", reason: "" },
  })),
} as unknown as Plan;

/** A view whose clock the test moves, and what it writes. */
function viewOf(terminal: boolean, columns = 100) {
  const clock = { now: 0 };
  const written: string[] = [];
  const view = new ProgressView(PLAN, {
    write: (text) => written.push(text),
    terminal,
    color: false,
    columns: () => columns,
    now: () => clock.now,
  });
  return { view, clock, written };
}

function progress(done: number, total: number, loss: number): StageEvent {
  const values = { loss, "tokens/s": 1503.7 };
  return {
    kind: "progress",
    key: "tuned",
    progress: { activity: "training", done, total, values },
  };
}

Deno.test("without a terminal, progress is a line now and then", () => {
  const { view, clock, written } = viewOf(false);
  view.event({ kind: "started", key: "tuned" });
  for (let step = 0; step <= 12; step++) {
    clock.now = step * 1000;
    view.event(progress(10 + step, 50, 3.21456));
  }
  clock.now = 75_000;
  view.event({ kind: "done", key: "tuned" });
  assert.deepEqual(written.join("").split("\n"), [
    "tuned: started",
    // A step takes a second, counted from the first report: it was resumed at step 10.
    "tuned: training, 15/50, loss 3.215, tokens/s 1504, 0:35 left",
    "tuned: training, 20/50, loss 3.215, tokens/s 1504, 0:30 left",
    "✓ tuned: done in 1:15",
    "",
  ]);
});

Deno.test("what a stage remarks stands under its end, the first in full", () => {
  const { view, written } = viewOf(false);
  view.event({ kind: "started", key: "base" });
  view.event({ kind: "started", key: "tuned" });
  view.event({ kind: "remark", key: "base", line: "3 of 200 rows were cut" });
  for (const line of ["few tokens", "rank", "rank"]) {
    view.event({ kind: "remark", key: "tuned", line });
  }
  view.event({ kind: "log", key: "tuned", line: "step 1" });
  written.length = 0;
  view.event({ kind: "done", key: "base" });
  view.event({ kind: "done", key: "tuned" });
  assert.deepEqual(written.join("").split("\n"), [
    "✓ base: done in 0:00",
    "  3 of 200 rows were cut",
    "✓ tuned: done in 0:00",
    "  few tokens (2 more remarks in logs/tuned-tuned.log)",
    "",
  ]);
});

Deno.test("on a terminal, a block is drawn, erased and drawn again", () => {
  const { view, clock, written } = viewOf(true);
  view.event({ kind: "started", key: "tuned" });
  assert.equal(written.splice(0).join(""), "tuned  starting, 0:00\n0 of 2 stages done\n");
  clock.now = 1000;
  view.event(progress(0, 40, 4));
  assert.equal(
    written.splice(0).join(""),
    "\x1b[2A\x1b[0Jtuned  ░░░░░░░░░░░░░░░░░░░░  training, 0/40, loss 4, tokens/s 1504\n" +
      "0 of 2 stages done\n",
  );
  clock.now = 1010;
  view.event(progress(5, 40, 4));
  assert.deepEqual(written, [], "not more often than anyone can see");
  clock.now = 2000;
  view.event(progress(10, 40, 3.5));
  assert.equal(
    written.splice(0).join(""),
    "\x1b[2A\x1b[0Jtuned  █████░░░░░░░░░░░░░░░  training, 10/40, loss 3.5, tokens/s 1504, 0:03 left\n" +
      "0 of 2 stages done\n",
  );
  view.event({ kind: "failed", key: "tuned", message: "loss is NaN", trace: null });
  assert.equal(written.splice(0).join(""), "\x1b[2A\x1b[0J✗ tuned: loss is NaN\n");
  view.close();
  assert.deepEqual(written, [], "nothing is left to erase");
});

Deno.test("lines are cut to the width of the terminal", () => {
  const { view, clock, written } = viewOf(true, 30);
  view.event({ kind: "started", key: "tuned" });
  clock.now = 1000;
  view.event(progress(10, 40, 3.5));
  const lines = written.join("").split("\n").filter((line) => line.includes("█"));
  assert.deepEqual(lines.map((line) => line.slice(line.indexOf("tuned"))), [
    "tuned  █████░░░░░░░░░░░░░░░ …",
  ]);
});

Deno.test("a line that stays goes above the block", () => {
  const { view, written } = viewOf(true);
  view.event({ kind: "started", key: "base" });
  written.length = 0;
  view.line("Stopping");
  assert.equal(written.join(""), "\x1b[2A\x1b[0JStopping\n");
  view.event({ kind: "cancelled", key: "base" });
  assert.equal(written.at(-1), "– base: interrupted\n");
});
