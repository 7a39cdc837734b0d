/**
 * How far a download is.
 *
 * @module
 */

import type { Clock } from "./clock.ts";

/** State of the downloads of one reference. */
export interface HubProgress {
  /** "hf:org/name". */
  readonly repository: string;
  /** The file that received something last. */
  readonly file: string;
  /** Bytes that are here, those of earlier attempts included. */
  readonly done: number;
  /** Bytes in all. */
  readonly total: number;
  /** Bytes per second, without those of earlier attempts; 0 at the start. */
  readonly rate: number;
}

/** Adds up what the files of one reference receive. */
export class DownloadMeter {
  readonly #repository: string;
  readonly #total: number;
  readonly #clock: Clock;
  readonly #report: (progress: HubProgress) => void;
  readonly #done = new Map<string, number>();
  readonly #started: number;
  #received = 0;

  /** Counts `total` bytes from now. */
  constructor(
    repository: string,
    total: number,
    clock: Clock,
    report: (progress: HubProgress) => void,
  ) {
    this.#repository = repository;
    this.#total = total;
    this.#clock = clock;
    this.#report = report;
    this.#started = clock.now();
  }

  /** Notes that a file has so many bytes now, `received` of them just arrived. */
  update(file: string, bytes: number, received: number): void {
    this.#done.set(file, bytes);
    this.#received += received;
    const seconds = (this.#clock.now() - this.#started) / 1000;
    let done = 0;
    for (const count of this.#done.values()) done += count;
    this.#report({
      repository: this.#repository,
      file,
      done,
      total: this.#total,
      rate: seconds > 0 ? this.#received / seconds : 0,
    });
  }
}
