/**
 * Numbers of tables: as many decimals as the smallest number of a metric needs, the same for all.
 *
 * @module
 */

import type { Table, TableEntry } from "./table.ts";

/** From here on measured numbers are written with an exponent: they say "diverged", not a value. */
const EXPONENT_FROM = 1e5;

/** Numbers below have an exponent: decimals would hide them. */
const EXPONENT_BELOW = 1e-4;

/** Where all numbers are large but not beyond this, they are averaged counts and none diverged. */
const LARGEST_COUNT = 1e9;

/** Stands where there is no number. */
const MISSING = "--";

/**
 * The numbers of a table as text, row by row: "12.345", or "12.345 ± 0.210" where there is a deviation
 * or a standard error.
 * Numbers of one metric have equal decimals, in whatever columns they stand.
 *
 * @param plusMinus Stands between a number and its spread.
 */
export function formatEntries({ columns, rows }: Table, plusMinus = " ± "): string[][] {
  const decimals = new Map<string, number>();
  for (const metric of new Set(columns.map(({ metric }) => metric))) {
    const entries = rows.flatMap((row) =>
      row.entries.filter((_, column) => columns[column]?.metric === metric)
    );
    decimals.set(metric, decimalsFor(entries.filter((entry) => entry !== null)));
  }
  return rows.map(({ entries }) =>
    entries.map((entry, column) =>
      entry === null
        ? MISSING
        : formatEntry(entry, decimals.get(columns[column]?.metric ?? "") ?? 4, plusMinus)
    )
  );
}

/** Decimals for numbers that are compared with each other: four digits for the smallest; counts none. */
function decimalsFor(entries: readonly TableEntry[]): number {
  if (entries.every((entry) => Number.isInteger(entry.mean) && !spreadOf(entry))) return 0;
  const sizes = entries.map(({ mean }) => Math.abs(mean));
  if (sizes.every((size) => size >= EXPONENT_FROM && size < LARGEST_COUNT)) return 0;
  const smallest = Math.min(
    ...sizes.filter((size) => size >= EXPONENT_BELOW && size < EXPONENT_FROM),
  );
  return smallest >= 100 ? 1 : smallest >= 10 ? 2 : smallest >= 1 ? 3 : 4;
}

function formatEntry(entry: TableEntry, decimals: number, plusMinus: string): string {
  const mean = formatNumber(entry.mean, decimals);
  const spread = spreadOf(entry);
  return spread === null ? mean : `${mean}${plusMinus}${formatNumber(spread, decimals)}`;
}

function spreadOf({ deviation, standardError }: TableEntry): number | null {
  return deviation ?? standardError ?? null;
}

function formatNumber(value: number, decimals: number): string {
  if (!Number.isFinite(value)) return String(value).replace("Infinity", "inf");
  const size = Math.abs(value);
  const isLarge = size >= EXPONENT_FROM && decimals > 0;
  if (isLarge && Number.isSafeInteger(value)) return String(value);
  const fixed = value.toFixed(decimals);
  const vanishes = size > 0 && (size < EXPONENT_BELOW || Number(fixed) === 0);
  return isLarge || vanishes ? value.toExponential(2) : fixed;
}
