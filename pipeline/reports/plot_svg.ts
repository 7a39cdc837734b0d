/**
 * What all plots share: how they look, and from specification to SVG.
 *
 * @module
 */

import type { TopLevelSpec } from "vega-lite";

/** Distinct on white and on black. */
export const COLORS: readonly string[] = [
  "#3f88c5",
  "#e0823d",
  "#4f9d69",
  "#c3566b",
  "#8a70b8",
  "#a0764f",
  "#5fa8a8",
  "#b59a3a",
];

/** Text and lines in the color of the page around them. */
export const PLOT_STYLE = {
  font: "inherit",
  view: { stroke: null },
  axis: {
    labelColor: "currentColor",
    titleColor: "currentColor",
    gridColor: "currentColor",
    domainColor: "currentColor",
    tickColor: "currentColor",
    gridOpacity: 0.12,
    domainOpacity: 0.35,
    tickOpacity: 0.35,
    labelOpacity: 0.75,
    labelFontSize: 12,
    titleFontSize: 12,
    titleFontWeight: "normal",
    tickCount: 6,
  },
  legend: {
    labelColor: "currentColor",
    labelFontSize: 12,
    symbolType: "stroke",
    symbolStrokeWidth: 2.5,
  },
  // Marks would otherwise carry a spoken label each.
  aria: false,
} as const satisfies TopLevelSpec["config"];

/** Draws a specification. Equal specifications give equal text. */
export async function renderSvg(specification: TopLevelSpec): Promise<string> {
  // Loaded only here: a second that no other command should wait.
  const [vega, { compile }] = await Promise.all([import("vega"), import("vega-lite")]);
  const view = new vega.View(vega.parse(compile(specification).spec), { renderer: "none" });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}
