/**
 * Tables of a page.
 *
 * @module
 */

import { type Html, html, type HtmlValue } from "./html_markup.ts";

/** Head of a column. */
export interface ColumnHead {
  /** Text of the head. */
  readonly title: string;
  /** Labels name the row, numbers stand to the right, prose may wrap. */
  readonly kind: "label" | "number" | "text" | "prose";
}

/** A table that scrolls by itself where the page is narrow. */
export function htmlTable(
  heads: readonly ColumnHead[],
  rows: readonly (readonly HtmlValue[])[],
): Html {
  return html`
    <div class="scroll" tabindex="0">
      <table>
        <thead>
          <tr>${heads.map(({ title, kind }) =>
            html`<th scope="col" class="${kind}">${title}</th>`
          )}</tr>
        </thead>
        <tbody>${rows.map((row) => tableRow(heads, row))}</tbody>
      </table>
    </div>
  `;
}

function tableRow(heads: readonly ColumnHead[], row: readonly HtmlValue[]): Html {
  const cells = row.map((value, column) => {
    const kind = heads[column]?.kind ?? "text";
    return kind === "label"
      ? html`<th scope="row">${value}</th>`
      : html`<td class="${kind}">${value}</td>`;
  });
  return html`<tr>${cells}</tr>\n`;
}

/** Heads from titles of one kind. */
export function heads(kind: ColumnHead["kind"], ...titles: readonly string[]): ColumnHead[] {
  return titles.map((title) => ({ title, kind }));
}
