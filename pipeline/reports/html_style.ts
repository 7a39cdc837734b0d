/**
 * The look of the report: readable on a phone and on paper, by day and by night.
 *
 * @module
 */

/** The page's style sheet. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --paper: #fcfcfa; --ink: #22262b; --faint: #69717c; --line: #e1e3e0; --panel: #f3f4f1;
  --accent: #2b6a8c; --good: #2f7a4d; --bad: #b3403a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #16191d; --ink: #dfe3e8; --faint: #959ea9; --line: #2d333a; --panel: #1e2227;
    --accent: #7ab6d4; --good: #7cc296; --bad: #e58b84;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 58rem;
  background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
  -webkit-text-size-adjust: 100%;
}
h1 { margin: 0; font-size: 1.9rem; line-height: 1.2; font-weight: 650; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { margin: 3rem 0 0.75rem; font-size: 1.15rem; font-weight: 650; }
h3 { margin: 1.5rem 0 0.5rem; font-size: 0.95rem; font-weight: 600; }
p { margin: 0.5rem 0; max-width: 42rem; }
a { color: var(--accent); }
header p { margin-top: 0.6rem; }
.faint, figcaption, .note { color: var(--faint); font-size: 0.875rem; }
.good { color: var(--good); } .bad { color: var(--bad); }
code, pre { font: 0.84rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre {
  margin: 0.5rem 0; padding: 0.85rem 1rem; overflow-x: auto;
  background: var(--panel); border: 1px solid var(--line); border-radius: 6px;
}
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: 0.5rem; font-weight: 600; }
th, td { padding: 0.38rem 0.9rem 0.38rem 0; text-align: left; vertical-align: baseline; white-space: nowrap; }
th { font-weight: 600; color: var(--faint); font-size: 0.8rem; }
thead th { border-bottom: 1.5px solid var(--line); }
tbody tr + tr > * { border-top: 1px solid var(--line); }
tbody th { color: var(--ink); font-size: 0.9rem; font-weight: 500; }
.number { text-align: right; }
.prose { white-space: normal; min-width: 12rem; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.3rem 1.25rem; margin: 0.5rem 0; font-size: 0.9rem; }
dt { color: var(--faint); } dd { margin: 0; overflow-wrap: anywhere; }
details { border-top: 1px solid var(--line); }
details:last-of-type { border-bottom: 1px solid var(--line); }
summary { padding: 0.55rem 0; cursor: pointer; }
details > :last-child { margin-bottom: 1.25rem; }
figure { margin: 1rem 0 2rem; }
figure svg { display: block; width: 100%; height: auto; max-width: 37rem; }
.graph svg { max-width: 34rem; }
@media (max-width: 34rem) {
  body { padding: 1.25rem 1rem 3rem; }
  h1 { font-size: 1.5rem; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: 0.5rem; }
}
@media print {
  :root { --paper: #fff; --ink: #000; --faint: #555; --line: #ccc; --panel: #fff; --accent: #000; color-scheme: light; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  details::details-content { content-visibility: visible; block-size: auto; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  .scroll { overflow: visible; }
  h2, h3 { break-after: avoid; }
  figure, tr { break-inside: avoid; }
}
`;
