/**
 * Times over sizes as SVG, both on logarithmic axes: how a method grows is the slope of its line.
 *
 * @module
 */

import { COLORS, PLOT_STYLE, renderSvg } from "../reports/plot_svg.ts";
import type { BenchmarkReport } from "./report.ts";

/** Pictures in documents stand on white and on black pages, and do not learn on which. */
const GRAY = "#808080";

/** A measured time, or one of a line that theory draws. */
export interface TimePoint {
  readonly name: string;
  /** First number of the benchmark's shape. */
  readonly size: number;
  readonly seconds: number;
}

/**
 * Times of the benchmarks that were measured at several sizes. The size is the first number of the
 * shape: the width of "512x512", the tokens of "128x512 -> 1024".
 */
export function timePoints({ results }: Pick<BenchmarkReport, "results">): TimePoint[] {
  const points = results.flatMap(({ name, shape, median }) => {
    const size = Number(/\d+/.exec(shape)?.[0]);
    return size > 0 ? [{ name, size, seconds: median / 1000 }] : [];
  });
  return points.filter(({ name, size }) =>
    points.some((other) => other.name === name && other.size !== size)
  );
}

/** The cube law through the largest size of the fastest benchmark that has it. */
export function cubeLaw(points: readonly TimePoint[]): TimePoint[] {
  const sizes = [...new Set(points.map(({ size }) => size))].sort((a, b) => a - b);
  const largest = sizes.at(-1) ?? 0;
  const seconds = Math.min(
    ...points.filter(({ size }) => size === largest).map((point) => point.seconds),
  );
  return sizes.map((size) => ({
    name: "size³",
    size,
    seconds: seconds * (size / largest) ** 3,
  }));
}

/** Draws the points of a report, with {@linkcode cubeLaw} dashed. */
export async function plotTimes(report: Pick<BenchmarkReport, "results">): Promise<string> {
  const points = timePoints(report);
  const names = [...new Set(points.map(({ name }) => name))];
  const sizes: number[] = [...new Set(points.map(({ size }) => size))];
  const encoding = {
    x: {
      field: "size",
      type: "quantitative",
      scale: { type: "log", nice: false },
      axis: { title: "size", values: sizes },
    },
    y: {
      field: "seconds",
      type: "quantitative",
      scale: { type: "log" },
      axis: { title: "seconds" },
    },
    color: {
      field: "name",
      type: "nominal",
      sort: null,
      scale: { domain: [...names, "size³"], range: [...COLORS.slice(0, names.length), GRAY] },
      legend: { orient: "right", title: null, labelLimit: 280 },
    },
  } as const;
  return (await renderSvg({
    width: 420,
    height: 260,
    padding: 4,
    background: "transparent",
    layer: [
      {
        data: { values: points },
        mark: { type: "line", strokeWidth: 1.75, point: { size: 28, filled: true } },
        encoding,
      },
      {
        data: { values: cubeLaw(points) },
        mark: { type: "line", strokeWidth: 1.25, strokeDash: [5, 4] },
        encoding,
      },
    ],
    config: { ...PLOT_STYLE, font: "sans-serif" },
  })).replaceAll("currentColor", GRAY);
}
