/**
 * The table of an experiment: cells of the grid arranged in rows and columns, averaged over axes.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import type { TableSpecification } from "../graph/experiment.ts";
import type { CellResult, Results } from "../graph/results.ts";
import type { Metric } from "../graph/stage.ts";

/** What a table needs of a cell; a planned cell has no metrics yet. */
export type TableCellSource = Pick<
  CellResult,
  "index" | "values" | "seed" | "status" | "error" | "metrics" | "nodes"
>;

/** A table, not yet in any format. */
export interface Table {
  /** Caption. */
  readonly title: string | null;
  /** Titles of the columns that label rows. */
  readonly rowTitles: readonly string[];
  /** Columns of numbers. */
  readonly columns: readonly TableColumn[];
  /** Rows in the order in which their labels first occur. */
  readonly rows: readonly TableRow[];
  /** What is averaged, and why entries are missing. */
  readonly notes: readonly string[];
}

/** A column of numbers. */
export interface TableColumn {
  /** "bits 4, tuned.perplexity". */
  readonly title: string;
  /** Column paths of the specification to their values here. */
  readonly values: Readonly<Record<string, string>>;
  /** Full name of the metric. */
  readonly metric: string;
}

/** A row. */
export interface TableRow {
  /** One for each of the table's row titles. */
  readonly labels: readonly string[];
  /** One per column; null where no cell has the metric. */
  readonly entries: readonly (TableEntry | null)[];
}

/** A number of a table. */
export interface TableEntry {
  /** The number itself where nothing is averaged. */
  readonly mean: number;
  /** Sample standard deviation over cells; null if nothing is averaged or there is one cell. */
  readonly deviation: number | null;
  /** Cells in the mean. */
  readonly count: number;
  /** Of the number itself, where it is measured with one and nothing is averaged. */
  readonly standardError?: number;
}

/** Missing entries explained one by one; further ones are counted. */
const EXPLAINED = 3;

/**
 * Arranges cells as a `table:` section says. Rows and columns come in the order in which their
 * labels first occur.
 *
 * @throws {UserError} If two cells fall on the same entry though nothing is averaged over the axis
 * in which they differ.
 */
export function makeTable(
  specification: TableSpecification,
  cells: readonly TableCellSource[],
  axes: readonly string[],
): Table {
  const { rows: rowPaths, columns: columnPaths, values: metrics, over } = specification;
  const columnNames = shortNames(columnPaths);
  const { names: metricNames, pattern } = distinctParts(metrics);
  const groups = new Map<string, { labels: string[]; byColumn: Map<string, TableCellSource[]> }>();
  const columnLabels = new Map<string, string[]>();
  for (const cell of cells) {
    const labels = rowPaths.map((path) => labelOf(cell, path));
    const columns = columnPaths.map((path) => labelOf(cell, path));
    const rowKey = JSON.stringify(labels);
    const columnKey = JSON.stringify(columns);
    const row = groups.get(rowKey) ?? { labels, byColumn: new Map() };
    const members = row.byColumn.get(columnKey) ?? [];
    checkSameEntry(members[0], cell, over, axes);
    row.byColumn.set(columnKey, [...members, cell]);
    groups.set(rowKey, row);
    columnLabels.set(columnKey, columns);
  }

  const columns: (TableColumn & { readonly key: string })[] = [];
  for (const [key, labels] of columnLabels) {
    const heading = labels.map((label, index) => `${columnNames[index]} ${label}`).join(", ");
    for (const [index, metric] of metrics.entries()) {
      const showMetric = metrics.length > 1 || heading === "";
      columns.push({
        key,
        title: [heading, showMetric ? metricNames[index] : ""].filter(Boolean).join(", "),
        values: Object.fromEntries(columnPaths.map((path, at) => [path, labels[at] ?? ""])),
        metric,
      });
    }
  }
  const missing: string[] = [];
  const rows = [...groups.values()].map(({ labels, byColumn }) => ({
    labels,
    entries: columns.map(({ key, metric }) => {
      const members = byColumn.get(key) ?? [];
      for (const cell of members) {
        if (cell.metrics[metric] === undefined) missing.push(whyMissing(cell, metric));
      }
      return entryOf(members, metric, over.length > 0);
    }),
  }));
  const notes: string[] = [];
  if (metrics.length === 1 && columnPaths.length > 0) notes.push(`${metrics[0]}.`);
  if (pattern !== null) notes.push(`${pattern}.`);
  if (over.length > 0) notes.push(`Mean ± standard deviation over ${over.join(", ")}.`);
  if (hasStandardErrors(rows)) notes.push("Number ± its standard error.");
  notes.push(...missingNotes(missing, rows));
  return {
    title: specification.title ?? null,
    rowTitles: shortNames(rowPaths),
    columns,
    rows,
    notes,
  };
}

/**
 * Arranges results, by default with the axes in rows and every metric in a column. `NODE.seconds` is
 * the wall time of a stage, which is no metric: it is not the same in every run.
 */
export function tableOfResults(
  { cells, axes, stages }: Results,
  specification: TableSpecification | null,
): Table {
  const timed = cells.map((cell) => ({
    ...cell,
    metrics: { ...cell.metrics, ...secondsOf(cell, stages) },
  }));
  return makeTable(specification ?? defaultTable(cells, axes), timed, axes);
}

function secondsOf(cell: CellResult, stages: Results["stages"]): Record<string, Metric> {
  return Object.fromEntries(
    Object.entries(cell.stages).flatMap(([id, key]) => {
      const result = stages[key]?.result ?? null;
      return result === null ? [] : [[`${id}.seconds`, { value: result.seconds }]];
    }),
  );
}

/** A specification for experiments without a `table:`: axes in rows, every metric a column. */
function defaultTable(
  cells: readonly TableCellSource[],
  axes: readonly string[],
): TableSpecification {
  const metrics = new Set(cells.flatMap((cell) => Object.keys(cell.metrics)));
  return { rows: axes, columns: [], values: [...metrics], over: [] };
}

/** The shortest endings of dotted paths that tell them apart ("base.bits" becomes "bits"). */
export function shortNames(paths: readonly string[]): string[] {
  const ending = (path: string, length: number) => path.split(".").slice(-length).join(".");
  const longest = Math.max(1, ...paths.map((path) => path.split(".").length));
  for (let length = 1; length < longest; length++) {
    const names = paths.map((path) => ending(path, length));
    if (new Set(names).size === new Set(paths).size) return names;
  }
  return [...paths];
}

/**
 * What sets dotted paths apart, without the steps they all begin and end with: "quality.base.loss"
 * and "quality.tuned.loss" are "base" and "tuned" of the pattern "quality.*.loss". The pattern is
 * null where that leaves nothing out, or nothing over.
 */
function distinctParts(
  paths: readonly string[],
): { readonly names: string[]; readonly pattern: string | null } {
  const [first = [], ...others] = paths.map((path) => path.split("."));
  const shared = (at: (steps: readonly string[], index: number) => string | undefined) => {
    let count = 0;
    while (
      count < first.length && others.every((steps) => at(steps, count) === at(first, count))
    ) count++;
    return count;
  };
  const before = shared((steps, index) => steps[index]);
  const after = shared((steps, index) => steps[steps.length - 1 - index]);
  const shortest = Math.min(...[first, ...others].map((steps) => steps.length));
  if (others.length === 0 || after === 0 || before + after >= shortest) {
    return { names: shortNames(paths), pattern: null };
  }
  const names = [first, ...others]
    .map((steps) => steps.slice(before, steps.length - after).join("."));
  const pattern = [...first.slice(0, before), "*", ...first.slice(first.length - after)].join(".");
  return { names, pattern };
}

/** What a path names in a cell: an axis, the seed or a parameter of a node. */
function labelOf(cell: TableCellSource, path: string): string {
  if (path in cell.values) return print(cell.values[path]);
  if (path === "seed") return String(cell.seed);
  const [node = "", ...steps] = path.split(".");
  let value: unknown = cell.nodes[node]?.parameters;
  for (const step of steps) {
    value = typeof value === "object" && value !== null
      ? (value as Record<string, unknown>)[step]
      : undefined;
  }
  return print(value);
}

function print(value: unknown): string {
  if (value === undefined || value === null) return "";
  if (typeof value !== "object") return String(value);
  return JSON.stringify(value).replaceAll('"', "").replaceAll(/[:,]/g, "$& ");
}

/** Averaging must be asked for: cells of one entry may differ only in the axes of `over`. */
function checkSameEntry(
  first: TableCellSource | undefined,
  cell: TableCellSource,
  over: readonly string[],
  axes: readonly string[],
): void {
  if (first === undefined) return;
  const differing = [...new Set([...axes, "seed"])].filter((axis) =>
    !over.includes(axis) && labelOf(first, axis) !== labelOf(cell, axis)
  );
  if (over.length > 0 && differing.length === 0) return;
  throw new UserError(
    `Cells ${first.index} and ${cell.index} fall on the same entry of the table` +
      (differing.length === 0
        ? ": remove the duplicate from the grid"
        : ` but differ in ${differing.join(", ")}: add it to rows, columns or over`),
  );
}

function entryOf(
  members: readonly TableCellSource[],
  metric: string,
  averaged: boolean,
): TableEntry | null {
  const values = members.flatMap((cell) => cell.metrics[metric]?.value ?? []);
  const count = values.length;
  if (count === 0) return null;
  // Around the first, so that equal values have no deviation.
  const [first = 0] = values;
  const mean = first + values.reduce((sum, value) => sum + (value - first), 0) / count;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const deviation = averaged && count > 1 ? Math.sqrt(squares / (count - 1)) : null;
  const [only, ...others] = members;
  const standardError = averaged || others.length > 0
    ? undefined
    : only?.metrics[metric]?.standardError;
  return { mean, deviation, count, ...(standardError === undefined ? {} : { standardError }) };
}

/** Whether some number is shown with its standard error. */
export function hasStandardErrors(rows: readonly TableRow[]): boolean {
  return rows.some(({ entries }) => entries.some((entry) => entry?.standardError !== undefined));
}

function whyMissing(cell: TableCellSource, metric: string): string {
  if (cell.error !== null) return `cell ${cell.index} failed (${cell.error})`;
  if (cell.status === "cancelled") return `cell ${cell.index} has not run`;
  return `cell ${cell.index} has no metric ${metric}`;
}

function missingNotes(missing: readonly string[], rows: readonly TableRow[]): string[] {
  const reasons = [...new Set(missing)];
  if (reasons.length === 0) {
    const holes = rows.some(({ entries }) => entries.includes(null));
    return holes ? ["--: not part of the grid."] : [];
  }
  const more = reasons.length - EXPLAINED;
  return [
    `--: ${reasons.slice(0, EXPLAINED).join("; ")}${more > 0 ? `; and ${more} more` : ""}.`,
  ];
}
