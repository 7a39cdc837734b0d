/**
 * Numbers of tables: as many decimals as the smallest number of a metric needs, the same for all.
 *
 * @module
 */

import type { TableEntry } from "./table.ts";

/** From here on measured numbers are written with an exponent: they say "diverged", not a value. */
const EXPONENT_FROM = 1e5;

/** Decimals for numbers that are compared with each other: four digits for the smallest; counts none. */
export function decimalsFor(entries: readonly TableEntry[]): number {
  if (entries.every(({ mean, deviation }) => Number.isInteger(mean) && !deviation)) return 0;
  const sizes = entries
    .map(({ mean }) => Math.abs(mean))
    .filter((size) => size > 0 && size < EXPONENT_FROM);
  const smallest = Math.min(...sizes);
  return smallest >= 100 ? 1 : smallest >= 10 ? 2 : smallest >= 1 ? 3 : 4;
}

/** "12.345", or "12.345 ± 0.210" where there is a deviation; `plusMinus` stands between. */
export function formatEntry(entry: TableEntry, decimals: number, plusMinus = " ± "): string {
  const mean = formatNumber(entry.mean, decimals);
  if (entry.deviation === null) return mean;
  return `${mean}${plusMinus}${formatNumber(entry.deviation, decimals)}`;
}

function formatNumber(value: number, decimals: number): string {
  if (!Number.isFinite(value)) return String(value).replace("Infinity", "inf");
  if (decimals > 0 && Math.abs(value) >= EXPONENT_FROM) return value.toExponential(2);
  return value.toFixed(decimals);
}
