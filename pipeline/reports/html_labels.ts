/**
 * Names of stages and cells in a report.
 *
 * @module
 */

import type { Metric } from "../graph/stage.ts";
import type { CellResult, Results } from "../graph/results.ts";
import { shortNames } from "./table.ts";

/** "bits 4, form lora"; empty without a grid. */
export function cellLabel(cell: CellResult, axes: readonly string[]): string {
  const names = shortNames(axes);
  return axes.map((axis, index) => `${names[index]} ${printValue(cell.values[axis])}`).join(", ");
}

/**
 * What tells each stage from those of the same id, by key: the values of the axes that it depends on
 * ("bits 4, rank 16"); empty where there is nothing to tell apart.
 */
export function stageVariants({ stages, cells, axes }: Results): Map<string, string> {
  const names = shortNames(axes);
  const valuesOf = (id: string, key: string | null, axis: string) =>
    new Set(
      cells.filter((cell) => key === null ? id in cell.stages : cell.stages[id] === key)
        .map((cell) => printValue(cell.values[axis])),
    );
  return new Map(
    Object.entries(stages).map(([key, { node }]) => {
      const parts = axes.flatMap((axis, index) => {
        const own = valuesOf(node, key, axis);
        if (own.size !== 1 || valuesOf(node, null, axis).size === 1) return [];
        return [`${names[index]} ${[...own].join()}`];
      });
      return [key, parts.join(", ")];
    }),
  );
}

/** Names of stages by key: "tuned (bits 4, rank 16)". */
export function stageNames(results: Results): Map<string, string> {
  return new Map(
    [...stageVariants(results)].map(([key, variant]) => {
      const node = results.stages[key]?.node ?? key;
      return [key, variant === "" ? node : `${node} (${variant})`];
    }),
  );
}

/** "64.2 ± 4.0": two digits of the standard error; five digits without one. */
export function formatMetric({ value, standardError }: Metric): string {
  if (!Number.isFinite(value)) return String(value);
  if (standardError !== undefined && standardError > 0 && Number.isFinite(standardError)) {
    const decimals = Math.max(0, 1 - Math.floor(Math.log10(standardError)));
    if (decimals <= 8) return `${value.toFixed(decimals)} ± ${standardError.toFixed(decimals)}`;
    return `${formatNumber(value)} ± ${standardError.toExponential(1)}`;
  }
  return formatNumber(value);
}

/** Five digits, with an exponent where zeros would hide them; counts as they are. */
export function formatNumber(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString("en-US");
  const size = Math.abs(value);
  return size < 1e-3 || size >= 1e6 ? value.toExponential(2) : value.toPrecision(5);
}

function printValue(value: unknown): string {
  return typeof value === "object" && value !== null ? JSON.stringify(value) : String(value);
}
