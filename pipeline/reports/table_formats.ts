/**
 * A table as text: Markdown, LaTeX (booktabs), CSV, JSON, and aligned for the terminal.
 *
 * @module
 */

import { styleText } from "node:util";
import stringWidth from "string-width";
import { readTextOrNull } from "../formats/files.ts";
import { formatEntries } from "./number_format.ts";
import { hasStandardErrors, type Table, type TableEntry } from "./table.ts";

/** Values of `--format`. */
export const TABLE_FORMATS = ["md", "tex", "csv", "json"] as const;

/** A value of `--format`. */
export type TableFormat = typeof TABLE_FORMATS[number];

/** A table in one of the formats for files. */
export function formatTable(table: Table, format: TableFormat): string {
  switch (format) {
    case "md":
      return toMarkdown(table);
    case "tex":
      return toLatex(table);
    case "csv":
      return toCsv(table);
    case "json":
      return toJson(table);
  }
}

/** The first line in which a text differs from a file, in words; null if they are equal. */
export function differenceFrom(text: string, file: string): string | null {
  const expected = readTextOrNull(file);
  if (expected === null) return `There is no ${file} to compare with`;
  if (text === expected) return null;
  const [found, wanted] = [text.split("\n"), expected.split("\n")];
  const line = found.findIndex((content, index) => content !== wanted[index]);
  const at = line === -1 ? found.length : line;
  const show = (lines: readonly string[]) => lines[at] ?? "(end)";
  return `${file}:${at + 1}: differs from the results\n- ${show(wanted)}\n+ ${show(found)}`;
}

/** Columns aligned by spaces, numbers to the right, the best number of each column in bold. */
export function toTerminal(table: Table, color: boolean): string {
  const texts = textsOf(table);
  const header = [...table.rowTitles, ...table.columns.map(({ title }) => title)];
  const labels = table.rowTitles.length;
  const widths = header.map((title, column) =>
    Math.max(...[title, ...texts.map((row) => row[column] ?? "")].map((text) => stringWidth(text)))
  );
  const best = table.columns.map((_, column) => bestRow(table, column));
  const style = (format: "bold" | "dim", text: string) =>
    color ? styleText(format, text, { validateStream: false }) : text;
  const line = (cells: readonly string[], row: number) =>
    cells.map((text, column) => {
      const space = " ".repeat((widths[column] ?? 0) - stringWidth(text));
      if (column < labels) return text + space;
      return space + (row >= 0 && best[column - labels] === row ? style("bold", text) : text);
    }).join("  ").trimEnd();
  const lines = [
    ...(table.title === null ? [] : [style("bold", table.title)]),
    style("dim", line(header, -1)),
    style("dim", "─".repeat(widths.reduce((sum, width) => sum + width + 2, -2))),
    ...texts.map((row, index) => line(row, index)),
    ...table.notes.map((note) => style("dim", note)),
  ];
  return lines.join("\n") + "\n";
}

function toMarkdown(table: Table): string {
  const escape = (text: string) => text.replaceAll("|", "\\|");
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const lines = [
    ...(table.title === null ? [] : [`**${table.title}**`, ""]),
    line([...table.rowTitles, ...table.columns.map(({ title }) => title)].map(escape)),
    line([...table.rowTitles.map(() => ":---"), ...table.columns.map(() => "---:")]),
    ...textsOf(table).map((row) => line(row.map(escape))),
    ...table.notes.flatMap((note) => ["", note]),
  ];
  return lines.join("\n") + "\n";
}

function toLatex(table: Table): string {
  const line = (cells: readonly string[]) => `${cells.join(" & ")} \\\\`;
  const header = [...table.rowTitles, ...table.columns.map(({ title }) => title)];
  const rows = textsOf(table, "\\,$\\pm$\\,").map((row) =>
    row.map((text, column) => column < table.rowTitles.length ? escapeLatex(text) : text)
  );
  const alignment = "l".repeat(table.rowTitles.length) + "r".repeat(table.columns.length);
  const lines = [
    "\\begin{table}",
    "\\centering",
    ...(table.title === null ? [] : [`\\caption{${escapeLatex(table.title)}}`]),
    `\\begin{tabular}{${alignment}}`,
    "\\toprule",
    line(header.map(escapeLatex)),
    "\\midrule",
    ...rows.map(line),
    "\\bottomrule",
    "\\end{tabular}",
    ...table.notes.map((note) => `\\par\\footnotesize ${escapeLatex(note)}`),
    "\\end{table}",
  ];
  return lines.join("\n") + "\n";
}

function toCsv(table: Table): string {
  const averaged = table.rows.some(({ entries }) =>
    entries.some((entry) => entry !== null && entry.count > 1)
  );
  const parts: (readonly [string, (entry: TableEntry | null) => string])[] = [
    ["", (entry) => String(entry?.mean ?? "")],
  ];
  if (averaged) {
    parts.push([", standard deviation", (entry) => String(entry?.deviation ?? "")]);
    parts.push([", count", (entry) => String(entry?.count ?? 0)]);
  }
  if (hasStandardErrors(table.rows)) {
    parts.push([", standard error", (entry) => String(entry?.standardError ?? "")]);
  }
  const header = [
    ...table.rowTitles,
    ...table.columns.flatMap(({ title }) => parts.map(([suffix]) => title + suffix)),
  ];
  const numbers = (entry: TableEntry | null) => parts.map(([, text]) => text(entry));
  const rows = table.rows.map(({ labels, entries }) => [...labels, ...entries.flatMap(numbers)]);
  // RFC 4180 asks for CRLF, but every reader takes LF and files in git should not differ by it.
  return [header, ...rows].map((row) => row.map(quoteCsv).join(",") + "\n").join("");
}

/** One record per number, with full names: for programs. */
function toJson(table: Table): string {
  const records = table.rows.flatMap(({ labels, entries }) =>
    entries.map((entry, column) => ({
      row: Object.fromEntries(table.rowTitles.map((title, index) => [title, labels[index]])),
      column: table.columns[column]?.values ?? {},
      metric: table.columns[column]?.metric,
      mean: finiteOrText(entry?.mean ?? null),
      standardDeviation: finiteOrText(entry?.deviation ?? null),
      standardError: finiteOrText(entry?.standardError ?? null),
      count: entry?.count ?? 0,
    }))
  );
  return JSON.stringify({ title: table.title, entries: records, notes: table.notes }, null, 2) +
    "\n";
}

/** Labels and formatted numbers, row by row. */
function textsOf(table: Table, plusMinus?: string): string[][] {
  const numbers = formatEntries(table, plusMinus);
  return table.rows.map(({ labels }, row) => [...labels, ...numbers[row] ?? []]);
}

/** Row with the best number of a column; null if the metric's direction is unknown or none is. */
function bestRow(table: Table, column: number): number | null {
  const metric = table.columns[column]?.metric.split(".").at(-1) ?? "";
  const sign = /perplexity|loss|error|difference/.test(metric)
    ? -1
    : /accuracy|score|exact_match|f1/.test(metric)
    ? 1
    : 0;
  if (sign === 0) return null;
  let best: number | null = null;
  let bestValue = -Infinity;
  for (const [row, { entries }] of table.rows.entries()) {
    const value = sign * (entries[column]?.mean ?? NaN);
    if (value > bestValue) [best, bestValue] = [row, value];
  }
  return best;
}

function quoteCsv(text: string): string {
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function finiteOrText(value: number | null): number | string | null {
  return value === null || Number.isFinite(value) ? value : String(value);
}

function escapeLatex(text: string): string {
  return text
    .replaceAll(/[\\{}&%$#_~^]/g, (character) => {
      if (character === "\\") return "\\textbackslash{}";
      if (character === "~") return "\\textasciitilde{}";
      if (character === "^") return "\\textasciicircum{}";
      return `\\${character}`;
    })
    .replaceAll("±", "$\\pm$");
}
