import assert from "node:assert/strict";
import type { BenchmarkResult } from "./report.ts";
import { cubeLaw, plotTimes, timePoints } from "./plot_times.ts";

function result(name: string, shape: string, median: number): BenchmarkResult {
  return { name, shape, median } as BenchmarkResult;
}

const RESULTS = [
  result("eigen", "512x512", 1000),
  result("eigen", "1024x1024", 8000),
  result("solve", "512x512", 20),
  result("solve", "1024x1024", 80),
  result("alone", "512x512", 5),
];

Deno.test("points are benchmarks of several sizes, in seconds", () => {
  assert.deepEqual(timePoints({ results: RESULTS }), [
    { name: "eigen", size: 512, seconds: 1 },
    { name: "eigen", size: 1024, seconds: 8 },
    { name: "solve", size: 512, seconds: 0.02 },
    { name: "solve", size: 1024, seconds: 0.08 },
  ]);
});

Deno.test("the cube law runs through the fastest at the largest size", () => {
  assert.deepEqual(cubeLaw(timePoints({ results: RESULTS })), [
    { name: "size³", size: 512, seconds: 0.01 },
    { name: "size³", size: 1024, seconds: 0.08 },
  ]);
});

Deno.test("the picture names every line, in colors for white and black pages", async () => {
  const svg = await plotTimes({ results: RESULTS });
  for (const text of ["eigen", "solve", "size³", "1,024"]) assert.ok(svg.includes(text), text);
  assert.ok(!svg.includes("alone") && !svg.includes("currentColor"));
});
