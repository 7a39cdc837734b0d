/**
 * Where the numbers of a report come from: code, device, data, stages with their times, the
 * experiment, and the command that makes them again.
 *
 * @module
 */

import type { Results, StageRecord } from "../graph/results.ts";
import { drawGraph, reportNodes } from "./html_graph.ts";
import { formatNumber } from "./html_labels.ts";
import { type Html, html, type HtmlValue } from "./html_markup.ts";
import { heads, htmlTable } from "./html_table.ts";
import type { PlanRecord } from "./plan_text.ts";
import { formatBytes, formatCount, formatDuration } from "./quantities.ts";

/** Code, device, time and data. */
export function provenanceSection({ provenance, stages }: Results): Html {
  const { equipoise, deno, os, device, started, finished, data } = provenance;
  const commits = new Set(
    Object.values(stages).map(({ result }) => result?.equipoise.commit ?? equipoise.commit),
  );
  commits.delete(equipoise.commit);
  const entries: readonly (readonly [string, string])[] = [
    ["Started", moment(started)],
    ["Finished", moment(finished)],
    ["Equipoise", `${equipoise.version}, commit ${equipoise.commit ?? "unknown"}`],
    ["Cached results from", [...commits].join(", ")],
    ["Device", device?.description ?? "none"],
    ["Device class", device?.class ?? ""],
    ["Deno", deno],
    ["System", os],
  ];
  const dataTable = htmlTable(
    [...heads("prose", "source"), ...heads("prose", "SHA-256 of its content")],
    data.map(({ reference, pinned, sha256 }) => [
      pinned ?? reference,
      html`<code>${sha256}</code>`,
    ]),
  );
  return html`
    <section>
      <h2>Provenance</h2>
      <dl>${entries.filter(([, value]) => value !== "").map(([name, value]) =>
        html`<dt>${name}</dt><dd>${value}</dd>\n`
      )}</dl>
      ${data.length > 0 && dataTable}
    </section>
  `;
}

/** Time, memory and facts of every stage, and the sums by kind. */
export function timesSection(results: Results, names: ReadonlyMap<string, string>): Html {
  const stages = Object.entries(results.stages);
  const kinds = [...Map.groupBy(stages.map(([, stage]) => stage), ({ stage }) => stage)];
  const sums = htmlTable(
    [...heads("label", "kind"), ...heads("number", "stages", "cached", "time")],
    kinds.map(([kind, members]) => [
      kind,
      members.length,
      members.filter(({ status }) => status === "cached").length,
      formatDuration(members.reduce((sum, { result }) => sum + (result?.seconds ?? 0), 0)),
    ]),
  );
  const each = htmlTable(
    [
      ...heads("label", "stage"),
      ...heads("text", "status"),
      ...heads("number", "time", "host memory", "device memory"),
      ...heads("prose", "facts"),
    ],
    stages.map(([key, record]) => stageRow(names.get(key) ?? record.node, record)),
  );
  return html`
    <section>
      <h2>Times</h2>
      ${sums}
      <p class="note">A cached stage counts with the time that it once took.</p>
      <details>
        <summary>${formatCount(stages.length, "stage")}, one by one</summary>
        ${each}
      </details>
    </section>
  `;
}

function stageRow(name: string, { status, error, result }: StageRecord): HtmlValue[] {
  const failed = status === "failed" || status === "skipped";
  const facts = Object.entries(result?.facts ?? {}).map(([fact, value]) =>
    `${fact.replaceAll("_", " ")} ${typeof value === "number" ? formatNumber(value) : value}`
  );
  const device = result?.peakMemory.device ?? null;
  return [
    name,
    failed ? html`<span class="bad">${status}</span>` : status,
    result !== null && `${result.seconds.toFixed(1)} s`,
    result !== null && formatBytes(result.peakMemory.host),
    device !== null && formatBytes(device),
    error ?? facts.join("; "),
  ];
}

/** The graph as a picture, and the file as it was resolved. */
export function experimentSection(plan: readonly PlanRecord[], yaml: string): Html {
  return html`
    <section>
      <h2>Experiment</h2>
      <figure class="graph">${drawGraph(reportNodes(plan))}</figure>
      <h3>The file, with <code>extends</code> and <code>--set</code> applied</h3>
      ${preformatted(yaml)}
    </section>
  `;
}

/** What to type. */
export function reproductionSection({ provenance }: Results): Html {
  const { equipoise: { commit }, command, device } = provenance;
  const lines = [
    ...(commit === null ? [] : [`git checkout ${commit.replace(/-dirty$/, "")}`]),
    command ?? "deno task experiment experiment.yaml",
  ];
  const remarks = [
    command === null && "It was started by a script; experiment.yaml is the file above.",
    commit?.endsWith("-dirty") && "The working tree had changes that are not in this commit.",
    device !== null && "On a device of the same class, every number comes out bit by bit the same.",
  ].filter((remark) => typeof remark === "string");
  return html`
    <section>
      <h2>Reproduce</h2>
      ${preformatted(lines.join("\n"))} ${remarks.map((remark) =>
        html`<p class="note">${remark}</p>`
      )}
    </section>
  `;
}

/** Text that keeps its spaces. */
function preformatted(text: string): Html {
  return html`<pre tabindex="0">${text}</pre>`;
}

function moment(iso: string): string {
  return iso.replace("T", " ").replace(/\.\d+Z$/, " UTC");
}
