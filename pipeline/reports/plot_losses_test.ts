import assert from "node:assert/strict";
import type { StepRecord } from "../training/history.ts";
import { MOST_CURVES, plotLosses, thinOut } from "./plot_losses.ts";

/** Steps with the given losses. */
function steps(...losses: readonly number[]): StepRecord[] {
  return losses.map((loss, index) => ({ step: index + 1, loss, lr: 1, grad_norm: 1, tokens: 1 }));
}

/** Points of the lines in an SVG, in its own coordinates. */
function lines(svg: string): [x: number, y: number][][] {
  return [...svg.matchAll(/class="mark-line[^>]*>(.*?)<\/g>/gs)].map(([, content = ""]) => {
    const path = /d="([^"]*)"/.exec(content)?.[1] ?? "";
    return [...path.matchAll(/[ML]([-\d.]+),([-\d.]+)/g)]
      .map(([, x, y]): [number, number] => [Number(x), Number(y)]);
  });
}

Deno.test("plotLosses() draws each loss at its place", async () => {
  const svg = await plotLosses([{ label: "only", steps: steps(4, 3, 3.5, 2) }]);
  const [points = []] = lines(svg);
  assert.equal(points.length, 4);
  const [first, second, third, fourth] = points as [number, number][];
  assert.ok(first && second && third && fourth);
  const width = second[0] - first[0];
  const unit = second[1] - first[1];
  assert.ok(width > 0 && unit > 0, "steps go to the right, lower losses down");
  for (const [point, x, y] of [[third, 2, 0.5], [fourth, 3, 2]] as const) {
    assert.ok(Math.abs(point[0] - first[0] - x * width) < 0.01);
    assert.ok(Math.abs(point[1] - first[1] - y * unit) < 0.01);
  }
});

Deno.test("plotLosses() draws every curve, evaluations too, and equal text for equal curves", async () => {
  const evaluated = steps(4, 3, 2).map((record) => ({ ...record, evaluation_loss: record.loss }));
  const curves = [{ label: "a", steps: steps(1, 2) }, { label: "b", steps: evaluated }];
  const svg = await plotLosses(curves);
  assert.equal(lines(svg).length, 3);
  assert.equal(svg.match(/stroke-dasharray="5,4"/g)?.length, 1);
  assert.equal(await plotLosses(structuredClone(curves)), svg);
});

Deno.test("plotLosses() escapes labels and asks for nothing from outside", async () => {
  const label = `<script>"&'`;
  const svg = await plotLosses([{ label, steps: steps(1, 2) }, { label: "b", steps: steps(1, 2) }]);
  assert.ok(!svg.includes("<script"));
  assert.ok(svg.includes("&lt;script&gt;"));
  assert.doesNotMatch(svg, /href|url\(|<style/);
});

Deno.test("plotLosses() refuses more curves than it has colors", async () => {
  const curves = Array.from({ length: MOST_CURVES + 1 }, (_, index) => ({
    label: `${index}`,
    steps: steps(1),
  }));
  await assert.rejects(() => plotLosses(curves), { name: "RangeError", message: /room for 8/ });
});

Deno.test("thinOut() averages equal stretches", () => {
  const points = thinOut(steps(1, 3, 5, 7, 9), 3);
  assert.deepEqual(points, [
    { step: 1.5, loss: 2 },
    { step: 3.5, loss: 6 },
    { step: 5, loss: 9 },
  ]);
  assert.deepEqual(thinOut(steps(1, 3), 3), [{ step: 1, loss: 1 }, { step: 2, loss: 3 }]);
});
