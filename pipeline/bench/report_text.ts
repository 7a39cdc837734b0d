/**
 * Benchmark results for people.
 *
 * @module
 */

import type { BenchmarkReport, BenchmarkResult } from "./report.ts";

const COLUMNS: readonly { title: string; text: (result: BenchmarkResult) => string }[] = [
  { title: "benchmark", text: ({ name }) => name },
  { title: "shape", text: ({ shape }) => shape },
  { title: "median ms", text: ({ median }) => digits(median) },
  { title: "min ms", text: ({ minimum }) => digits(minimum) },
  { title: "noise", text: ({ noise }) => `±${percent(noise)}` },
  { title: "GFLOP/s", text: ({ gigaflops }) => digits(gigaflops) },
  { title: "of FMA", text: ({ arithmeticShare }) => percent(arithmeticShare) },
  { title: "GB/s", text: ({ gigabytes }) => digits(gigabytes) },
  { title: "of copy", text: ({ memoryShare }) => percent(memoryShare) },
  { title: "tokens/s", text: ({ tokens }) => tokens === null ? "" : String(Math.round(tokens)) },
  { title: "host", text: ({ hostShare }) => percent(hostShare) },
];

/** Left-aligned: name and shape. */
const LABELS = 2;

/** Where it ran and the ceilings, in a few lines, then a line for each benchmark. */
export function benchmarkText(report: BenchmarkReport): string {
  const { device, deno, os, processors, loadAverage, ceilings, clock } = report;
  const rows = [
    COLUMNS.map(({ title }) => title),
    ...report.results.map((result) => COLUMNS.map(({ text }) => text(result))),
  ];
  const shown = COLUMNS.map((_, column) => rows.slice(1).some((row) => row[column] !== ""));
  const widths = COLUMNS.map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? "").length))
  );
  const lines = rows.map((row) =>
    row.map((text, column) =>
      column < LABELS ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0)
    ).filter((_, column) => shown[column]).join("  ").trimEnd()
  );
  const fma = ceilings.gigaflops === null ? "none" : `${digits(ceilings.gigaflops)} GFLOP/s`;
  return [
    `${device.name}: ${device.description} (class: ${device.class})`,
    `Deno ${deno}, ${os}, ${processors} processors, ` +
    `load average ${loadAverage.map((load) => load.toFixed(1)).join(" to ")}`,
    `Ceilings of this run: multiply-adds ${fma}, copies ${digits(ceilings.gigabytes)} GB/s`,
    `${report.started}, clock: ${clock}`,
    "",
    ...lines,
    ...report.skipped.map(({ name, shape, reason }) => `skipped: ${name}, ${shape}: ${reason}`),
    "",
  ].join("\n");
}

function digits(value: number | null): string {
  if (value === null) return "";
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function percent(share: number | null): string {
  return share === null ? "" : `${(100 * share).toFixed(share < 0.095 ? 1 : 0)}%`;
}
