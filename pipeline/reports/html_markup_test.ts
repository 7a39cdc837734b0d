import assert from "node:assert/strict";
import { Html, html } from "./html_markup.ts";

Deno.test("html escapes values in text and in attributes", () => {
  const value = `<script>alert("&'")</script>`;
  const escaped = "&lt;script&gt;alert(&quot;&amp;&#39;&quot;)&lt;/script&gt;";
  assert.equal(
    html`<a title="${value}">${value}</a>`.text,
    `<a title="${escaped}">${escaped}</a>`,
  );
});

Deno.test("html keeps markup, joins lists and leaves nothing of null and false", () => {
  const items = ["<1>", 2].map((item) => html`<li>${item}</li>`);
  assert.equal(
    html`<ul>${items}${null}${false}${new Html("<hr>")}${["a", ["b"]]}</ul>`.text,
    "<ul><li>&lt;1&gt;</li><li>2</li><hr>ab</ul>",
  );
});
