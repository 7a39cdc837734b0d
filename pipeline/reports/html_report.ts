/**
 * A run as one HTML page that needs nothing else: no scripts, no requests.
 *
 * @module
 */

import type { Results } from "../graph/results.ts";
import { stageNames, stageVariants } from "./html_labels.ts";
import { Html, html } from "./html_markup.ts";
import {
  experimentSection,
  provenanceSection,
  reproductionSection,
  timesSection,
} from "./html_origin.ts";
import { cellsSection, mergeSection, tableSection } from "./html_results.ts";
import { STYLE } from "./html_style.ts";
import type { PlanRecord } from "./plan_text.ts";
import { MOST_CURVES, plotLosses } from "./plot_losses.ts";
import { formatCount, formatDuration } from "./quantities.ts";
import type { TrainingHistory } from "./training_history.ts";

/** Everything that a report shows. */
export interface ReportSource {
  /** `results.json`. */
  readonly results: Results;
  /** Stages of `plan.json`, for the graph. */
  readonly plan: readonly PlanRecord[];
  /** `experiment.yaml`. */
  readonly yaml: string;
  /** Stages that trained; or, in a sentence, why their losses cannot be read. */
  readonly histories: readonly TrainingHistory[] | string;
}

/** The page. Equal sources give equal text. */
export async function htmlReport(source: ReportSource): Promise<string> {
  const { results, plan, yaml, histories } = source;
  const names = stageNames(results);
  const page = html`
    <!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta http-equiv="Content-Security-Policy"
          content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
        <meta name="generator" content="Equipoise ${results.provenance.equipoise.version}">
        <title>${results.name}</title>
        <link rel="icon" href="data:,">
        <style>${new Html(STYLE)}</style>
      </head>
      <body>
    ${header(results)}
    <main>
    ${tableSection(results)}
    ${mergeSection(results, names)}
    ${await lossSection(histories, stageVariants(results))}
    ${cellsSection(results)}
    ${timesSection(results, names)}
    ${experimentSection(plan, yaml)}
    ${provenanceSection(results)}
    ${reproductionSection(results)}
    </main>
      </body>
    </html>
  `;
  return page.text;
}

function header({ name, status, cells, provenance }: Results): Html {
  const { equipoise, device, started, finished } = provenance;
  const done = cells.filter((cell) => cell.status === "done").length;
  const summary = [
    `${done} of ${formatCount(cells.length, "cell")} done`,
    started.slice(0, 10),
    formatDuration((Date.parse(finished) - Date.parse(started)) / 1000),
    ...(device === null ? [] : [device.description]),
    `Equipoise ${equipoise.version}${
      equipoise.commit === null ? "" : ` (${short(equipoise.commit)})`
    }`,
  ];
  return html`
    <header>
      <h1>${name}</h1>
      <p class="faint">${status !== "done" && html`
        <strong class="bad">${status}</strong> ·
      `}${summary.join(" · ")}</p>
    </header>
  `;
}

/** "68db09f-dirty". */
function short(commit: string): string {
  return commit.replace(/^([0-9a-f]{7})[0-9a-f]*/, "$1");
}

async function lossSection(
  histories: ReportSource["histories"],
  variants: ReadonlyMap<string, string>,
): Promise<Html | null> {
  if (histories.length === 0) return null;
  const content = typeof histories === "string"
    ? html`<p class="note">No curves: ${histories}</p>`
    : await lossFigures(histories, variants);
  return html`
    <section>
      <h2>Training</h2>
      ${content}
    </section>
  `;
}

/** A figure for each node that trains; more where one has too many curves. */
async function lossFigures(
  histories: readonly TrainingHistory[],
  variants: ReadonlyMap<string, string>,
): Promise<Html[]> {
  const figures: Html[] = [];
  for (const [node, stages] of Map.groupBy(histories, ({ node }) => node)) {
    for (let start = 0; start < stages.length; start += MOST_CURVES) {
      const curves = stages.slice(start, start + MOST_CURVES)
        .map(({ key, steps }) => ({ label: variants.get(key) || node, steps }));
      const evaluated = curves.some(({ steps }) =>
        steps.some(({ evaluation_loss }) => evaluation_loss !== undefined)
      );
      const caption = `Loss of ${node} by step` +
        (evaluated ? "; dashes and dots: on the evaluation data." : ".");
      figures.push(html`
        <figure>
          ${new Html(await plotLosses(curves))}
          <figcaption>${caption}</figcaption>
        </figure>
      `);
    }
  }
  return figures;
}
