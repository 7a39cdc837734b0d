import assert from "node:assert/strict";
import { quartiles } from "./compare.ts";
import type { PeersReport, SideResult } from "./run.ts";
import { peersText } from "./text.ts";

function side(program: string, rates: number[], value: number | null, note: string): SideResult {
  return { program, note, value, rates, rate: quartiles(rates) };
}

const REPORT: PeersReport = {
  format: "equipoise/peers",
  version: 1,
  started: "2026-11-22T01:00:00.000Z",
  finished: "2026-11-22T01:02:00.000Z",
  loadAverage: [0.5, 1.25],
  threads: 1,
  processors: [1],
  programs: { Equipoise: "Equipoise 1", PyTorch: "PyTorch 2" },
  ceilings: { widest: 100, narrow: 60 },
  results: [
    {
      title: "product",
      unit: "GFLOP/s",
      wanted: { of: "ceiling", share: 2 / 3 },
      first: side("Equipoise", [30, 30], null, ""),
      second: side("PyTorch", [60, 60], null, ""),
      ratio: quartiles([0.5]),
    },
    {
      title: "training",
      unit: "tokens/s",
      wanted: { of: "second", share: 1 },
      first: side("Equipoise", [3000, 3100], 2.5, "int4 base"),
      second: side("PyTorch", [1500, 1550], 2.7, "f32 base"),
      ratio: quartiles([2]),
    },
    { title: "prompt", unit: "tokens/s", wanted: null, skipped: "llama.cpp is missing." },
  ],
};

Deno.test("peersText() says what was reached, what was skipped, and losses that differ", () => {
  assert.equal(
    peersText(REPORT),
    `2026-11-22T01:00:00.000Z, 1 thread, processors 1, load average 0.5 to 1.3
Equipoise: Equipoise 1
PyTorch: PyTorch 2
Multiply-adds on our device: at most 100 GFLOP/s, 60.0 with vectors of 128 bits
Rates are medians, ratios first / second of rounds A-B-B-A; quartiles in brackets.

comparison  unit      first                                    second                     ratio                wanted
product     GFLOP/s   Equipoise  30.0 [30.0 30.0], 30% of FMA  PyTorch  60.0 [60.0 60.0]  0.500 [0.500 0.500]  67% of 128-bit FMA: missed
training    tokens/s  Equipoise  3050 [3025 3075]              PyTorch  1525 [1513 1538]  2.00 [2.00 2.00]     100% of second: reached
skipped: prompt: llama.cpp is missing.
  training: Equipoise int4 base; PyTorch f32 base; first loss 2.500 and 2.700; which differ: the programs do not compute the same
`,
  );
});
