import assert from "node:assert/strict";
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatMoment,
  formatRanges,
} from "./quantities.ts";

Deno.test("formatBytes() has two digits and decimal units", () => {
  assert.deepEqual([0, 999, 1000, 3_140_000, 99_600_000, 999_600_000_000].map(formatBytes), [
    "0 B",
    "999 B",
    "1.0 kB",
    "3.1 MB",
    "100 MB",
    "1.0 TB",
  ]);
});

Deno.test("formatDuration() is minutes and seconds, with hours where needed", () => {
  assert.deepEqual([0.4, 7, 61.6, 3599.6, 3725].map(formatDuration), [
    "0:00",
    "0:07",
    "1:02",
    "1:00:00",
    "1:02:05",
  ]);
});

Deno.test("formatMoment() is local time to the minute", () => {
  const local = new Date(2026, 10, 1, 4, 5, 59);
  assert.equal(formatMoment(local.toISOString()), "2026-11-01 04:05");
});

Deno.test("formatRanges() draws runs together", () => {
  assert.equal(formatRanges([0, 1, 2, 5, 7, 8]), "0-2, 5, 7-8");
  assert.equal(formatRanges([]), "");
});

Deno.test("formatCount() knows the plural", () => {
  assert.deepEqual([formatCount(1, "cell"), formatCount(0, "cell")], ["1 cell", "0 cells"]);
});
