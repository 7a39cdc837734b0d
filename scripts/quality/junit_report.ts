/**
 * Reading the JUnit report that `deno test --junit-path` writes.
 *
 * @module
 */

/** What one or more test runs add up to. Steps of a test count as parts of it, as Deno counts. */
export interface TestSummary {
  /** Tests that passed. */
  readonly passed: number;
  /** Tests that failed. */
  readonly failed: number;
  /** Tests that were skipped. */
  readonly skipped: number;
  /** Seconds spent in the tests of each file. */
  readonly seconds: ReadonlyMap<string, number>;
}

interface TestCase {
  readonly file: string;
  readonly name: string;
  readonly seconds: number;
  readonly outcome: "passed" | "failed" | "skipped";
}

/** Summarises a report. */
export function summarizeReport(xml: string): TestSummary {
  const cases = parseCases(xml);
  const names = new Set(cases.map(({ file, name }) => `${file} ${name}`));
  // A step is called "test > step".
  const tests = cases.filter(({ file, name }) =>
    !separators(name).some((end) => names.has(`${file} ${name.slice(0, end)}`))
  );
  const count = (outcome: TestCase["outcome"]) =>
    tests.filter((test) => test.outcome === outcome).length;
  const seconds = new Map<string, number>();
  for (const test of tests) {
    seconds.set(test.file, (seconds.get(test.file) ?? 0) + test.seconds);
  }
  return { passed: count("passed"), failed: count("failed"), skipped: count("skipped"), seconds };
}

/** The `limit` files that took longest, one line each, slowest first. */
export function slowestFiles(summary: TestSummary, limit: number): string[] {
  return [...summary.seconds].sort(([, left], [, right]) => right - left).slice(0, limit)
    .map(([file, seconds]) => `${seconds.toFixed(1).padStart(7)} s  ${file}`);
}

function parseCases(xml: string): TestCase[] {
  return [...xml.matchAll(/<testcase ([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)].flatMap(
    ([, attributes = "", body = ""]) => {
      const seconds = attribute(attributes, "time");
      const skipped = /^\s*<skipped\b/.test(body);
      // Deno lists the tests that --filter leaves out as skipped, but without a time.
      if (skipped && seconds === "") return [];
      const failed = seconds === "" || /^\s*<(failure|error)\b/.test(body);
      return [{
        file: attribute(attributes, "classname").replace(/^\.\//, ""),
        name: attribute(attributes, "name"),
        seconds: Number(seconds),
        outcome: skipped ? "skipped" : failed ? "failed" : "passed",
      }];
    },
  );
}

function attribute(attributes: string, name: string): string {
  const value = new RegExp(`\\b${name}="([^"]*)"`).exec(attributes)?.[1] ?? "";
  const entities: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', apos: "'" };
  return value.replace(/&(lt|gt|quot|apos);/g, (all, entity: string) => entities[entity] ?? all)
    .replaceAll("&amp;", "&");
}

function separators(name: string): number[] {
  return [...name.matchAll(/ > /g)].map(({ index }) => index);
}
