import assert from "node:assert/strict";
import { slowestFiles, summarizeReport } from "./junit_report.ts";

// As Deno 2.9 writes it, for one test of each outcome, one with two steps, one named like a step, one
// that --filter left out, and one that never ended.
const REPORT = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="deno test" tests="7" failures="2" errors="0" time="0.009">
    <testsuite name="./a_test.ts" tests="6" disabled="1" errors="0" failures="2">
        <testcase name="plain &amp; &lt;ok&gt;" classname="./a_test.ts" time="0.250" line="1" col="6">
        </testcase>
        <testcase name="skipped" classname="./a_test.ts" time="0.000" line="2" col="6">
            <skipped/>
        </testcase>
        <testcase name="left out" classname="./a_test.ts" line="2" col="6">
            <skipped/>
        </testcase>
        <testcase name="endless" classname="./a_test.ts" line="2" col="6">
        </testcase>
        <testcase name="steps" classname="./a_test.ts" time="1.500" line="3" col="6">
            <failure message="1 test step failed.">1 test step failed.</failure>
        </testcase>
        <testcase name="bad" classname="./a_test.ts" time="0.001" line="4" col="6">
            <failure message="Uncaught Error: x">Error: x &lt;skipped/&gt;</failure>
        </testcase>
        <testcase name="steps &gt; one" classname="./a_test.ts" time="0.700" line="3" col="43">
            <failure message="x">x</failure>
        </testcase>
        <testcase name="steps &gt; two" classname="./a_test.ts" time="0.800" line="3" col="74">
        </testcase>
    </testsuite>
    <testsuite name="./b_test.ts" tests="1" disabled="0" errors="0" failures="0">
        <testcase name="a &gt; b" classname="./b_test.ts" time="12.300" line="1" col="6">
        </testcase>
    </testsuite>
</testsuites>`;

Deno.test("summarizeReport() counts tests, not their steps", () => {
  const { passed, failed, skipped } = summarizeReport(REPORT);
  assert.deepEqual({ passed, failed, skipped }, { passed: 2, failed: 3, skipped: 1 });
});

Deno.test("summarizeReport() adds up the seconds of each file without counting steps twice", () => {
  const { seconds } = summarizeReport(REPORT);
  assert.deepEqual([...seconds.keys()], ["a_test.ts", "b_test.ts"]);
  assert.ok(Math.abs((seconds.get("a_test.ts") ?? 0) - 1.751) < 1e-9);
});

Deno.test("summarizeReport() of an empty report is zero", () => {
  assert.deepEqual(summarizeReport("<testsuites></testsuites>"), {
    passed: 0,
    failed: 0,
    skipped: 0,
    seconds: new Map(),
  });
});

Deno.test("slowestFiles() lists the slowest first", () => {
  assert.deepEqual(slowestFiles(summarizeReport(REPORT), 1), ["   12.3 s  b_test.ts"]);
});
