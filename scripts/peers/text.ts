/**
 * Comparisons for people.
 *
 * @module
 */

import type { Quartiles } from "./compare.ts";
import type { Wanted } from "./comparisons.ts";
import type { ComparisonResult, PeerCeilings, PeersReport, SideResult } from "./run.ts";

/** Losses that differ by more than this share show that two programs compute different things. */
const TOLERANCE = 0.02;

/** Where and with what, then a line for each comparison. */
export function peersText(report: PeersReport): string {
  const { threads, processors, loadAverage, programs, ceilings, results } = report;
  const rows = results.map((result) => row(result, ceilings));
  const table = [
    ["comparison", "unit", "first", "", "second", "", "ratio", "wanted"],
    ...rows.flatMap((cells) => typeof cells === "string" ? [] : [cells]),
  ];
  const widths =
    table[0]?.map((_, column) => Math.max(...table.map((cells) => cells[column]?.length ?? 0))) ??
      [];
  const shown = widths.map((_, column) => table.slice(1).some((cells) => cells[column] !== ""));
  const lines = table.map((cells) =>
    cells.map((text, column) => text.padEnd(widths[column] ?? 0))
      .filter((_, column) => shown[column]).join("  ").trimEnd()
  );
  const where = processors === null ? "not bound to processors" : `processors ${processors.join()}`;
  return [
    `${report.started}, ${threads} ${threads === 1 ? "thread" : "threads"}, ${where}, ` +
    `load average ${loadAverage.map((load) => load.toFixed(1)).join(" to ")}`,
    ...Object.entries(programs).map(([name, version]) => `${name}: ${version}`),
    `Multiply-adds on our device: ${ceilingsText(ceilings)}`,
    "Rates are medians, ratios first / second of rounds A-B-B-A; quartiles in brackets.",
    "",
    ...lines,
    ...rows.filter((cells) => typeof cells === "string"),
    ...results.flatMap(remarks),
    "",
  ].join("\n");
}

function ceilingsText(ceilings: PeerCeilings | null): string {
  if (ceilings === null) return "no ceiling known";
  const { widest, narrow } = ceilings;
  const both = widest > 1.2 * narrow ? `, ${digits(narrow)} with vectors of 128 bits` : "";
  return `at most ${digits(widest)} GFLOP/s${both}`;
}

/** Cells of a comparison, or the line of one that was skipped. */
function row(result: ComparisonResult, ceilings: PeerCeilings | null): string[] | string {
  if ("skipped" in result) return `skipped: ${result.title}: ${result.skipped}`;
  const { title, unit, first, second, ratio, wanted } = result;
  const side = ({ program, rate }: SideResult) => [program, quartileText(rate)];
  const shares = unit === "GFLOP/s" && ceilings !== null && first.program === "Equipoise"
    ? { widest: first.rate.median / ceilings.widest, narrow: first.rate.median / ceilings.narrow }
    : null;
  const [name = "", rate = ""] = side(first);
  return [
    title,
    unit,
    name,
    shares === null ? rate : `${rate}, ${percent(shares.widest)} of FMA`,
    ...side(second),
    quartileText(ratio),
    verdict(wanted, ratio.median, shares?.narrow ?? null),
  ];
}

/** "50% of second: reached". */
function verdict(wanted: Wanted | null, ratio: number, ofCeiling: number | null): string {
  if (wanted === null) return "";
  const { of, share } = wanted;
  const reached = of === "second" ? ratio : ofCeiling;
  const outcome = reached === null ? "unknown" : reached >= share ? "reached" : "missed";
  return `${percent(share)} of ${of === "second" ? "second" : "128-bit FMA"}: ${outcome}`;
}

/** What differs between the sides, and losses that should not. */
function remarks(result: ComparisonResult): string[] {
  if ("skipped" in result) return [];
  const { title, first, second } = result;
  const notes = [first, second].filter(({ note }) => note !== "" && first.note !== second.note)
    .map(({ program, note }) => `${program} ${note}`);
  const losses = first.value !== null && second.value !== null
    ? [`first loss ${first.value.toFixed(3)} and ${second.value.toFixed(3)}`]
    : [];
  const differs = losses.length > 0 &&
    Math.abs((first.value ?? 0) / (second.value ?? 0) - 1) > TOLERANCE;
  if (differs) losses.push("which differ: the programs do not compute the same");
  const all = [...notes, ...losses];
  return all.length === 0 ? [] : [`  ${title}: ${all.join("; ")}`];
}

function quartileText({ low, median, high }: Quartiles): string {
  return `${digits(median)} [${digits(low)} ${digits(high)}]`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(0)}%`;
}

function digits(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
