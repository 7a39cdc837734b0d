/**
 * Loss curves as SVG. Colors of text and lines follow the page (`currentColor`), so that one picture
 * serves light and dark.
 *
 * @module
 */

import type { TopLevelSpec } from "vega-lite";
import type { StepRecord } from "../training/history.ts";

/** One curve. */
export interface LossCurve {
  /** Unique within a plot. */
  readonly label: string;
  /** In order. */
  readonly steps: readonly StepRecord[];
}

/** A point of a plot. */
export interface LossPoint {
  /** Mean where several steps are drawn as one. */
  readonly step: number;
  /** Mean likewise. */
  readonly loss: number;
}

/** Points of a curve at most; more would not be seen. */
const MOST_POINTS = 240;

/** Distinct on white and on black. */
const COLORS = [
  "#3f88c5",
  "#e0823d",
  "#4f9d69",
  "#c3566b",
  "#8a70b8",
  "#a0764f",
  "#5fa8a8",
  "#b59a3a",
];

/** Curves that one plot tells apart. */
export const MOST_CURVES: number = COLORS.length;

/**
 * Draws training losses, and evaluation losses as dashes with dots. Equal curves give equal text.
 *
 * @throws {RangeError} If there are more than {@linkcode MOST_CURVES} curves.
 */
export async function plotLosses(curves: readonly LossCurve[]): Promise<string> {
  if (curves.length > MOST_CURVES) {
    throw new RangeError(
      `A plot has room for ${MOST_CURVES} curves, but there are ${curves.length}`,
    );
  }
  // Loaded only here: a second that no other command should wait.
  const [vega, { compile }] = await Promise.all([import("vega"), import("vega-lite")]);
  const view = new vega.View(vega.parse(compile(specification(curves)).spec), { renderer: "none" });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

/** The training losses of a curve, averaged over equal stretches of steps where there are many. */
export function thinOut(steps: readonly StepRecord[], most = MOST_POINTS): LossPoint[] {
  const width = Math.ceil(steps.length / most);
  const points: LossPoint[] = [];
  for (let start = 0; start < steps.length; start += width) {
    const stretch = steps.slice(start, start + width);
    const mean = (value: (record: StepRecord) => number) =>
      stretch.reduce((sum, record) => sum + value(record), 0) / stretch.length;
    points.push({ step: mean(({ step }) => step), loss: mean(({ loss }) => loss) });
  }
  return points;
}

function specification(curves: readonly LossCurve[]): TopLevelSpec {
  const training = curves.flatMap(({ label, steps }) =>
    thinOut(steps).map((point) => ({ label, ...point }))
  );
  const evaluation = curves.flatMap(({ label, steps }) =>
    steps.flatMap(({ step, evaluation_loss: loss }) =>
      loss === undefined ? [] : [{ label, step, loss }]
    )
  );
  const encoding = {
    x: { field: "step", type: "quantitative", axis: { title: "step", tickMinStep: 1 } },
    y: { field: "loss", type: "quantitative", scale: { zero: false }, axis: { title: "loss" } },
    color: {
      field: "label",
      type: "nominal",
      sort: null,
      scale: { domain: curves.map(({ label }) => label), range: COLORS.slice(0, curves.length) },
      legend: curves.length > 1
        ? { orient: "bottom", columns: 2, title: null, labelLimit: 280 }
        : null,
    },
  } as const;
  return {
    width: 500,
    height: 220,
    padding: 4,
    background: "transparent",
    layer: [
      {
        data: { values: training },
        mark: { type: "line", strokeWidth: 1.75, interpolate: "linear" },
        encoding,
      },
      ...(evaluation.length === 0 ? [] : [{
        data: { values: evaluation },
        mark: {
          type: "line" as const,
          strokeWidth: 1.25,
          strokeDash: [5, 4],
          point: { size: 28, filled: true },
        },
        encoding,
      }]),
    ],
    config: {
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
    },
  };
}
