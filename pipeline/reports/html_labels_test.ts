import assert from "node:assert/strict";
import { formatMetric, formatNumber } from "./html_labels.ts";

Deno.test("formatMetric() gives two digits of the standard error", () => {
  const format = (value: number, standardError: number) => formatMetric({ value, standardError });
  assert.equal(format(64.24738, 4.01312), "64.2 ± 4.0");
  assert.equal(format(64.24738, 0.0401), "64.247 ± 0.040");
  assert.equal(format(1234.5, 250), "1235 ± 250");
  assert.equal(format(2e-12, 3.21e-13), "2.00e-12 ± 3.2e-13");
  assert.equal(format(0.5, 0), "0.50000");
  assert.equal(format(NaN, 1), "NaN");
});

Deno.test("formatNumber() hides no digits behind zeros", () => {
  assert.equal(formatNumber(77824), "77,824");
  assert.equal(formatNumber(0.0119091), "0.011909");
  assert.equal(formatNumber(2.574e-5), "2.57e-5");
  assert.equal(formatNumber(1234567.5), "1.23e+6");
});
