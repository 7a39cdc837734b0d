/**
 * HTML that escapes by default: only markup made here stands as it is.
 *
 * @module
 */

/** Finished markup. */
export class Html {
  /** The markup. */
  readonly text: string;

  /** `text` must be safe: use {@linkcode html} for anything that holds values. */
  constructor(text: string) {
    this.text = text;
  }
}

/** What may stand in a template: text is escaped, null and false are nothing. */
export type HtmlValue = Html | string | number | null | false | readonly HtmlValue[];

/**
 * A template of markup whose values are escaped.
 *
 * @example
 * ```ts
 * import { html } from "./html_markup.ts";
 *
 * const page = html`<p title="${'"'}">${"a < b"} ${html`<b>bold</b>`}</p>`;
 * if (page.text !== '<p title="&quot;">a &lt; b <b>bold</b></p>') throw new Error(page.text);
 * ```
 */
export function html(parts: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
  const text = parts.map((part, index) =>
    part + (index < values.length ? markup(values[index] ?? null) : "")
  );
  return new Html(text.join(""));
}

function markup(value: HtmlValue): string {
  if (value === null || value === false) return "";
  if (value instanceof Html) return value.text;
  if (typeof value === "string" || typeof value === "number") return escape(String(value));
  return value.map(markup).join("");
}

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escape(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => ESCAPES[character] ?? "");
}
