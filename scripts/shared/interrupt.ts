/**
 * Ctrl-C: once to stop cleanly, twice to stop at once.
 *
 * @module
 */

import { EXIT_INTERRUPTED } from "./command.ts";

/** Time to write down what was reached after the second Ctrl-C. */
const GRACE_MILLISECONDS = 2000;

/** The two stages of an interruption. */
export interface Interruption {
  /** Aborted by the first Ctrl-C (or SIGTERM). */
  readonly gentle: AbortSignal;
  /** Aborted by the second. */
  readonly forced: AbortSignal;
}

/** Listens for Ctrl-C until the process ends; `first` is called at the first. */
export function listenForInterrupts(first: () => void): Interruption {
  const gentle = new AbortController();
  const forced = new AbortController();
  const listener = () => {
    if (gentle.signal.aborted) {
      forced.abort();
      Deno.unrefTimer(setTimeout(() => Deno.exit(EXIT_INTERRUPTED), GRACE_MILLISECONDS));
    } else {
      first();
      gentle.abort();
    }
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, listener);
  return { gentle: gentle.signal, forced: forced.signal };
}
