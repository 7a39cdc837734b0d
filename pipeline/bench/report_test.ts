import assert from "node:assert/strict";
import type { Measurement } from "../../kernels/bench/measure.ts";
import { ReferenceDevice } from "../../kernels/reference/device.ts";
import { ConfigurationError } from "../graph/experiment.ts";
import { modelBenchmarks } from "./model_benchmarks.ts";
import { type BenchmarkReport, resultOf, selectBenchmarks } from "./report.ts";
import { benchmarkText } from "./report_text.ts";

const WORK = { suite: "t", name: "n", shape: "s", work: { flops: 8e9, bytes: 2e9 } };

/** Times of which the host needs a tenth. */
function times(calls: number, seconds: readonly number[]): Measurement {
  return { calls, seconds, hostSeconds: seconds.map((value) => value / 10) };
}

Deno.test("resultOf() gives the rates of the median and shares of the ceilings", () => {
  const ceilings = { gigaflops: 16, gigabytes: 8 };
  const result = resultOf(WORK, times(3, [2, 1, 5, 1.5, 4]), ceilings);
  assert.deepEqual(result, {
    suite: "t",
    name: "n",
    shape: "s",
    calls: 3,
    samples: [2000, 1000, 5000, 1500, 4000],
    median: 2000,
    minimum: 1000,
    noise: (4 - 1.5) / 2 / 2,
    gigaflops: 4,
    arithmeticShare: 0.25,
    gigabytes: 1,
    memoryShare: 0.125,
    tokens: null,
    hostShare: null,
  });
});

Deno.test("resultOf() leaves out what has no ceiling or no work", () => {
  const result = resultOf({ ...WORK, work: { tokens: 10 }, step: true }, times(1, [4, 6]), {
    gigaflops: null,
    gigabytes: 8,
  });
  assert.equal(result.median, 5000);
  assert.equal(result.tokens, 2);
  // The host needs a tenth of 5 seconds, the device the other nine tenths.
  assert.equal(result.hostShare, 1 / 9);
  assert.deepEqual(
    [result.gigaflops, result.arithmeticShare, result.gigabytes, result.memoryShare],
    [null, null, null, null],
  );
});

Deno.test("selectBenchmarks() looks into name and shape and suggests names", () => {
  const names = (filter: string) => selectBenchmarks(filter).map(({ name }) => name);
  assert.deepEqual(names("RMSNORMB"), ["rmsNormBackward", "rmsNormBackward"]);
  assert.deepEqual(names("brown-525k"), ["train lora r16 int4", "train full", "evaluate int4"]);
  assert.deepEqual(names("models full 110M"), ["train full"]);
  assert.throws(() => selectBenchmarks("adamv"), (error: unknown) => {
    assert.ok(error instanceof ConfigurationError);
    assert.match(error.message, /"adamv".*did you mean "adamw"/);
    return true;
  });
});

Deno.test("selectBenchmarks() takes what is large if it is asked for or nothing else is named", () => {
  const shapes = (filter: string, full?: boolean) =>
    selectBenchmarks(filter, full).map(({ shape }) => shape);
  assert.deepEqual(shapes("train full 15M"), ["15M, 1x256"]);
  assert.deepEqual(shapes("train full 15M", true), ["15M, 1x256", "15M, 8x256"]);
  assert.deepEqual(shapes("train full 110M"), ["110M, 1x512"]);
});

Deno.test("names and shapes tell all benchmarks apart", () => {
  const names = selectBenchmarks("", true).map(({ name, shape }) => `${name} ${shape}`);
  assert.equal(new Set(names).size, names.length);
});

Deno.test("a model benchmark gives its memory back", async () => {
  const [first] = modelBenchmarks();
  assert.ok(first);
  assert.equal(first.work.tokens, 512);
  const device = new ReferenceDevice();
  const before = device.memory().current;
  const job = await first.prepare(device);
  assert.notEqual(device.memory().current, before);
  job.release();
  assert.equal(device.memory().current, before);
});

Deno.test("benchmarkText() aligns columns and drops those without numbers", () => {
  const ceilings = { gigaflops: null, gigabytes: 8 };
  const report: BenchmarkReport = {
    format: "equipoise/benchmarks",
    version: 2,
    started: "2026-11-22T01:00:00.000Z",
    finished: "2026-11-22T01:02:00.000Z",
    deno: "2.9.6",
    os: "linux",
    processors: 2,
    loadAverage: [0.5, 1.25],
    device: { name: "webgpu", class: "webgpu; software", description: "llvmpipe" },
    clock: "call",
    ceilings,
    results: [
      resultOf({ ...WORK, name: "copy", work: { bytes: 4e9 } }, times(1, [0.5]), ceilings),
      resultOf({ ...WORK, name: "longer", work: { bytes: 4e7 } }, times(1, [2]), ceilings),
    ],
    skipped: [{ name: "huge", shape: "9x9", reason: "No room." }],
  };
  assert.equal(
    benchmarkText(report),
    `webgpu: llvmpipe (class: webgpu; software)
Deno 2.9.6, linux, 2 processors, load average 0.5 to 1.3
Ceilings of this run: multiply-adds none, copies 8.00 GB/s
2026-11-22T01:00:00.000Z, clock: call

benchmark  shape  median ms  min ms  noise    GB/s  of copy
copy       s            500     500  ±0.0%    8.00     100%
longer     s           2000    2000  ±0.0%  0.0200     0.3%
skipped: huge, 9x9: No room.
`,
  );
});
