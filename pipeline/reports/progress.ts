/**
 * Progress of a run on the standard error: a live block on a terminal, plain lines elsewhere.
 *
 * @module
 */

import { styleText } from "node:util";
import type { StageEvent } from "../executors/executor.ts";
import type { Plan } from "../graph/plan.ts";
import type { Progress } from "../graph/stage.ts";
import { barOf, clip, type ProgressOutput } from "./error_output.ts";
import { stageLabels } from "./plan_text.ts";
import { formatCount, formatDuration } from "./quantities.ts";
import { logName } from "./run_folder.ts";

/** Time between two pictures on a terminal. */
const REDRAW_MILLISECONDS = 100;

/** Time between two lines about the same stage elsewhere. */
const LINE_MILLISECONDS = 5000;

/** A running stage as it is shown. */
interface Activity {
  readonly label: string;
  readonly started: number;
  /** The first report that counted steps: a resumed stage does not begin at 0. */
  first: { readonly done: number; readonly time: number } | null;
  progress: Progress | null;
  lastLine: number;
  /** What a person should see of its log. */
  readonly remarks: string[];
}

/** Follows the events of a run. */
export class ProgressView {
  readonly #output: ProgressOutput;
  readonly #labels: ReadonlyMap<string, string>;
  readonly #logs: ReadonlyMap<string, string>;
  readonly #running = new Map<string, Activity>();
  readonly #total: number;
  #ended = 0;
  #drawnLines = 0;
  #lastDraw = -Infinity;

  /** Shows nothing yet. */
  constructor(plan: Plan, output: ProgressOutput) {
    this.#output = output;
    this.#labels = stageLabels(plan);
    this.#logs = new Map(plan.stages.map(({ id, key }) => [key, `logs/${logName(id, key)}`]));
    this.#total = plan.stages.filter(({ decision }) => decision.action !== "cached").length;
  }

  /** Shows what an event changes. */
  event(event: StageEvent): void {
    const { key } = event;
    const now = this.#output.now();
    const activity = this.#running.get(key);
    const label = this.#labels.get(key) ?? key.slice(0, 8);
    switch (event.kind) {
      case "started":
        this.#running.set(key, {
          label,
          started: now,
          first: null,
          progress: null,
          lastLine: now,
          remarks: [],
        });
        if (!this.#output.terminal) this.line(`${label}: started`);
        break;
      case "progress":
        if (activity !== undefined) this.#update(activity, event.progress, now);
        break;
      case "done":
      case "failed":
      case "cancelled": {
        this.#running.delete(key);
        this.#ended++;
        const seconds = (now - (activity?.started ?? now)) / 1000;
        this.line(this.#ending(event, label, seconds));
        this.#showRemarks(activity?.remarks ?? [], key);
        break;
      }
      case "remark":
        activity?.remarks.push(event.line);
        break;
      case "log":
        break;
    }
    this.#draw(event.kind !== "progress");
  }

  /** Writes a line that stays, above the live block. */
  line(text: string): void {
    this.#erase();
    this.#output.write(`${text}\n`);
  }

  /** Removes the live block. */
  close(): void {
    this.#erase();
  }

  #update(activity: Activity, progress: Progress, now: number): void {
    activity.progress = progress;
    if (progress.done !== undefined) activity.first ??= { done: progress.done, time: now };
    if (this.#output.terminal || now - activity.lastLine < LINE_MILLISECONDS) return;
    activity.lastLine = now;
    this.line(`${activity.label}: ${describe(activity, now).join(", ")}`);
  }

  #ending(
    event: StageEvent & { kind: "done" | "failed" | "cancelled" },
    label: string,
    seconds: number,
  ): string {
    switch (event.kind) {
      case "done":
        return `${this.#style("green", "✓")} ${label}: done in ${formatDuration(seconds)}`;
      case "failed":
        return `${this.#style("red", "✗")} ${label}: ${event.message}`;
      case "cancelled":
        return `${this.#style("yellow", "–")} ${label}: interrupted`;
    }
  }

  /** The first remark of a stage, and where the others are. */
  #showRemarks([first, ...others]: readonly string[], key: string): void {
    if (first === undefined) return;
    const rest = `(${formatCount(others.length, "more remark")} in ${this.#logs.get(key)})`;
    this.line(`  ${first}${others.length > 0 ? ` ${rest}` : ""}`);
  }

  #draw(now: boolean): void {
    if (!this.#output.terminal) return;
    const time = this.#output.now();
    if (!now && time - this.#lastDraw < REDRAW_MILLISECONDS) return;
    this.#lastDraw = time;
    this.#erase();
    if (this.#running.size === 0) return;
    const lines = [...this.#running.values()].map((activity) => liveLine(activity, time));
    lines.push(this.#style("dim", `${this.#ended} of ${formatCount(this.#total, "stage")} done`));
    const columns = this.#output.columns();
    this.#output.write(lines.map((line) => clip(line, columns) + "\n").join(""));
    this.#drawnLines = lines.length;
  }

  #erase(): void {
    if (this.#drawnLines > 0) this.#output.write(`\x1b[${this.#drawnLines}A\x1b[0J`);
    this.#drawnLines = 0;
  }

  #style(format: Parameters<typeof styleText>[0], text: string): string {
    return this.#output.color ? styleText(format, text, { validateStream: false }) : text;
  }
}

/** "tuned  ████████░░░░░░░░░░░░  20/50, loss 3.214, 0:41 left". */
function liveLine(activity: Activity, now: number): string {
  const { done, total } = activity.progress ?? {};
  const bar = done === undefined || !total ? "" : `${barOf(done / total)}  `;
  return `${activity.label}  ${bar}${describe(activity, now).join(", ")}`;
}

/** Activity, steps, live numbers, time left: what is known of them. */
function describe({ progress, first, started }: Activity, now: number): string[] {
  if (progress === null) return [`starting, ${formatDuration((now - started) / 1000)}`];
  const { activity, done, total, values } = progress;
  const parts = [activity];
  if (done !== undefined) parts.push(total === undefined ? String(done) : `${done}/${total}`);
  for (const [name, value] of Object.entries(values ?? {})) {
    parts.push(`${name} ${formatValue(value)}`);
  }
  if (done !== undefined && total !== undefined && first !== null && done > first.done) {
    const perStep = (now - first.time) / (done - first.done) / 1000;
    parts.push(`${formatDuration((total - done) * perStep)} left`);
  }
  return parts;
}

function formatValue(value: number): string {
  if (Math.abs(value) >= 1000) return String(Math.round(value));
  return Number(value.toPrecision(4)).toString();
}
