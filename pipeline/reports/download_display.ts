/**
 * Progress of downloads on the standard error: one live line on a terminal, plain lines elsewhere.
 *
 * @module
 */

import type { HubProgress } from "../hub/progress.ts";
import type { DownloadListener } from "../hub/resolve.ts";
import { barOf, clip, errorOutput, type ProgressOutput } from "./error_output.ts";
import { formatBytes, formatDuration } from "./quantities.ts";

/** Time between two pictures on a terminal. */
const REDRAW_MILLISECONDS = 100;

/** Time between two lines elsewhere. */
const LINE_MILLISECONDS = 5000;

/** Shows downloads, one reference after the other. */
export class DownloadDisplay {
  readonly #output: ProgressOutput;
  /** The repository whose download is shown. */
  #repository: string | null = null;
  #started = 0;
  #last = 0;
  #drawn = false;

  /** Shows nothing yet. */
  constructor(output: ProgressOutput = errorOutput()) {
    this.#output = output;
  }

  /** What a client of the Hub calls. */
  get options(): Required<Pick<DownloadListener, "report" | "notice">> {
    return {
      report: (progress) => this.report(progress),
      notice: (text) => this.notice(text),
    };
  }

  /** Shows how far a download is. */
  report(progress: HubProgress): void {
    const { repository, done, total } = progress;
    // Before the first byte, the Hub may still say no.
    if (done === 0 && total > 0) return;
    const now = this.#output.now();
    if (this.#repository !== repository) {
      this.#repository = repository;
      this.#started = this.#last = now;
      if (!this.#output.terminal) this.notice(`${repository}: downloading ${formatBytes(total)}`);
    }
    if (done >= total) {
      const time = formatDuration((now - this.#started) / 1000);
      this.notice(`${repository}: ${formatBytes(total)} downloaded in ${time}`);
      this.#repository = null;
      return;
    }
    const { terminal } = this.#output;
    if (now - this.#last < (terminal ? REDRAW_MILLISECONDS : LINE_MILLISECONDS)) return;
    this.#last = now;
    if (!terminal) return this.notice(`${repository}: ${describe(progress)}`);
    const line = `${repository}  ${barOf(done / total)}  ${describe(progress)}`;
    this.#erase();
    this.#output.write(clip(line, this.#output.columns()));
    this.#drawn = true;
  }

  /** Writes a line that stays. */
  notice(text: string): void {
    this.#erase();
    this.#output.write(`${text}\n`);
  }

  /** Removes the live line: what is behind it is an error or a plan. */
  close(): void {
    this.#erase();
  }

  #erase(): void {
    if (this.#drawn) this.#output.write("\r\x1b[K");
    this.#drawn = false;
  }
}

/** "1.2 GB of 13 GB, 85 MB/s, 2:19 left, model-00001-of-00002.safetensors". */
function describe({ file, done, total, rate }: HubProgress): string {
  const parts = [`${formatBytes(done)} of ${formatBytes(total)}`];
  if (rate > 0) {
    parts.push(`${formatBytes(rate)}/s`, `${formatDuration((total - done) / rate)} left`);
  }
  return [...parts, file].join(", ");
}
