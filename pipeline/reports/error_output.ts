/**
 * The standard error as progress needs it: a terminal whose lines can be overwritten, or a file.
 *
 * @module
 */

import stringWidth from "string-width";

/** Where progress is shown. */
export interface ProgressOutput {
  /** Writes without a line end of its own. */
  write(text: string): void;
  /** Whether lines can be overwritten. */
  readonly terminal: boolean;
  /** Whether text may have colors. */
  readonly color: boolean;
  /** Columns of the terminal now. */
  columns(): number;
  /** Milliseconds on a clock that only goes forward. */
  now(): number;
}

const BAR_WIDTH = 20;

/** The standard error of this process. */
export function errorOutput(): ProgressOutput {
  const terminal = Deno.stderr.isTerminal();
  return {
    write: writeError,
    terminal,
    color: terminal && !Deno.noColor,
    columns: terminalColumns,
    now: () => performance.now(),
  };
}

/** A bar that is full from the left up to a fraction. */
export function barOf(fraction: number): string {
  const full = Math.round(Math.min(1, Math.max(0, fraction)) * BAR_WIDTH);
  return "█".repeat(full) + "░".repeat(BAR_WIDTH - full);
}

/** Lines that wrap could not be erased: they would count as two. */
export function clip(line: string, columns: number): string {
  if (stringWidth(line) < columns) return line;
  let clipped = "";
  for (const character of line) {
    if (stringWidth(clipped + character) >= columns - 1) return `${clipped}…`;
    clipped += character;
  }
  return clipped;
}

/** Width of the terminal; some say 0, and some nothing. */
function terminalColumns(): number {
  try {
    return Deno.consoleSize().columns || 80;
  } catch {
    return 80;
  }
}

function writeError(text: string): void {
  let bytes = new TextEncoder().encode(text);
  while (bytes.length > 0) bytes = bytes.subarray(Deno.stderr.writeSync(bytes));
}
