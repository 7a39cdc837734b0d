/**
 * The numbers of a report: the experiment's table, proofs of merges, cells.
 *
 * @module
 */

import type { CellResult, Results, StageRecord } from "../graph/results.ts";
import { cellLabel, formatMetric } from "./html_labels.ts";
import { type Html, html, type HtmlValue } from "./html_markup.ts";
import { heads, htmlTable } from "./html_table.ts";
import { formatEntries } from "./number_format.ts";
import { formatCount, formatDuration } from "./quantities.ts";
import { tableOfResults } from "./table.ts";

/** The table that the experiment asks for. */
export function tableSection(results: Results): Html | null {
  const table = tableOfResults(results, results.table);
  const { title, rowTitles, columns, rows, notes } = table;
  if (columns.length === 0) return null;
  const numbers = formatEntries(table);
  const body = rows.map(({ labels }, row) => [...labels, ...numbers[row] ?? []]);
  const head = [
    ...heads("label", ...rowTitles),
    ...heads("number", ...columns.map(({ title }) => title)),
  ];
  return html`
    <section>
      <h2>${title ?? "Results"}</h2>
      ${htmlTable(head, body)} ${notes.map((note) => html`<p class="note">${note}</p>`)}
    </section>
  `;
}

/** What every merge measured: whether the merged model is the trained one. */
export function mergeSection(results: Results, names: ReadonlyMap<string, string>): Html | null {
  const merges = Object.entries(results.stages).filter(([, { stage }]) => stage === "merge");
  if (merges.length === 0) return null;
  const head = [
    ...heads("label", "merge"),
    ...heads("text", "into", "proof"),
    ...heads("number", "max |Δlogit|", "of largest", "perplexity before", "after"),
  ];
  const body = merges.map(([key, record]) => [
    names.get(key) ?? record.node,
    String(record.result?.facts["merged_into"] ?? "--"),
    proofOf(record),
    ...PROOF_METRICS.map((name) => metricOf(results, key, `${record.node}.${name}`)),
  ]);
  return html`
    <section>
      <h2>Merges</h2>
      ${htmlTable(head, body)}
      <p class="note">
        Each merge runs the model with its adapter and the merged model on the same tokens. An exact
        merge moves no logit by more than f32 rounding explains, 0.0001 of the largest.
      </p>
    </section>
  `;
}

const PROOF_METRICS = [
  "max_logit_difference",
  "relative_logit_difference",
  "perplexity_before",
  "perplexity_after",
];

function proofOf({ status, result }: StageRecord): HtmlValue {
  if (result === null) return html`<span class="bad">${status}</span>`;
  const { exact, proof } = result.facts;
  if (exact === true) return html`<span class="good">exact</span>`;
  if (exact === false) return "rounded";
  return String(proof ?? "--");
}

/** A metric of one stage, from any cell that shares it. */
function metricOf({ cells }: Results, key: string, name: string): string {
  const cell = cells.find(({ stages }) => Object.values(stages).includes(key));
  const metric = cell?.metrics[name];
  return metric === undefined ? "--" : formatMetric(metric);
}

/** Every cell with its metrics and the stages that they come from. */
export function cellsSection({ cells, axes }: Results): Html {
  return html`
    <section>
      <h2>${formatCount(cells.length, "cell")}</h2>
      ${cells.map((cell) => cellDetails(cell, axes, cells.length === 1))}
    </section>
  `;
}

function cellDetails(cell: CellResult, axes: readonly string[], open: boolean): Html {
  const facts = `seed ${cell.seed}, ${formatDuration(cell.seconds)}`;
  const head = [
    ...heads("label", "metric"),
    ...heads("number", "value ± standard error"),
    ...heads("text", "protocol", "result in the store"),
  ];
  const body = Object.entries(cell.metrics).map(([name, metric]) => [
    name,
    html`<span title="${metric.value}">${formatMetric(metric)}</span>`,
    metric.protocol ?? "",
    html`<code>${keyOf(cell, name)?.slice(0, 12) ?? ""}</code>`,
  ]);
  return html`
    <details ${open && "open"}>
      <summary>
        ${cellLabel(cell, axes) || `Cell ${cell.index}`}
        <span class="faint">${facts}</span>
        ${cell.status !== "done" && html`<span class="bad">${cell.status}</span>`}
      </summary>
      ${cell.error !== null && html`<p class="bad">${cell.error}</p>`}
      ${body.length > 0 && htmlTable(head, body)}
    </details>
  `;
}

/** A metric is named after its stage: "quality.tuned.perplexity". */
function keyOf({ stages }: CellResult, metric: string): string | undefined {
  return stages[metric.slice(0, metric.lastIndexOf("."))];
}
