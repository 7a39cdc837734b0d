/**
 * Loss curves as SVG. Colors of text and lines follow the page (`currentColor`), so that one picture
 * serves light and dark.
 *
 * @module
 */

import type { TopLevelSpec } from "vega-lite";
import type { StepRecord } from "../training/history.ts";
import { COLORS, PLOT_STYLE, renderSvg } from "./plot_svg.ts";

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
  return await renderSvg(specification(curves));
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
    config: PLOT_STYLE,
  };
}
