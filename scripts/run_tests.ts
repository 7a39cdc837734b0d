/**
 * `deno task test`: runs every test of the repository, examples in the documentation included.
 *
 * Not named `test.ts`: Deno's runner takes files of that name for tests and would run itself.
 *
 * @module
 */

import { join } from "node:path";
import { fromCaller } from "../pipeline/caller.ts";
import { ensureAdapter } from "../pipeline/environment/ensure_adapter.ts";
import { UserError } from "../pipeline/errors.ts";
import { readTextOrNull } from "../pipeline/formats/files.ts";
import { slowestFiles, summarizeReport } from "./quality/junit_report.ts";

const HELP = `Runs all tests, after setting up WebGPU where it is missing.

Usage: deno task test [FILE or FOLDER]... [option of deno test]...

  deno task test kernels            the tests below kernels/
  deno task test --filter merge     the tests with "merge" in their names
  deno task test --help             this text; \`deno test --help\` lists deno's options

EQUIPOISE_TEST_DATA names a folder with models and texts for some tests, which are skipped without it.
The last line is "N passed, N failed, N skipped". Exit status: 0 if nothing failed.`;

/**
 * What tests may do. They start `deno`, through `sh` where its limits or signals matter, and compare
 * with Python; no network is used but that of this machine with itself.
 */
const PERMISSIONS = [
  "--allow-read",
  "--allow-write",
  "--allow-env",
  "--allow-sys",
  "--allow-net=127.0.0.1",
  `--allow-run=deno,git,sh,python3,/usr/bin/python3,${Deno.execPath()}`,
];

/** More jobs than this contend for one GPU. */
const MOST_JOBS = 4;

const SLOWEST = 10;

if (Deno.args.includes("--help") || Deno.args.includes("-h")) {
  console.log(HELP);
  Deno.exit(0);
}
try {
  await ensureAdapter();
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  console.error(error.message);
  Deno.exit(1);
}
Deno.exitCode = await runTests(Deno.args);

async function runTests(args: readonly string[]): Promise<number> {
  const folder = await Deno.makeTempDir({ prefix: "equipoise-test-" });
  const report = join(folder, "junit.xml");
  try {
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "test",
        "--quiet",
        "--no-prompt",
        "--doc",
        "--parallel",
        ...PERMISSIONS,
        `--junit-path=${report}`,
        ...args,
      ],
      env: environment(),
    }).spawn();
    const { code, signal } = await child.status;
    if (signal !== null) console.error(`deno test was ended by ${signal}`);
    return summarize(report, code);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function environment(): Record<string, string> {
  const variables: Record<string, string> = {
    DENO_JOBS: Deno.env.get("DENO_JOBS") ??
      String(Math.min(MOST_JOBS, navigator.hardwareConcurrency)),
  };
  if (Deno.build.os === "linux") {
    variables["DENO_WEBGPU_BACKEND"] = Deno.env.get("DENO_WEBGPU_BACKEND") ?? "vulkan";
  }
  const data = Deno.env.get("EQUIPOISE_TEST_DATA");
  if (data) variables["EQUIPOISE_TEST_DATA"] = fromCaller(data);
  else {
    console.error("EQUIPOISE_TEST_DATA is not set: tests with real models and texts are skipped");
  }
  return variables;
}

/** Prints the slowest files and the totals; returns the exit status. */
function summarize(report: string, code: number): number {
  const summary = summarizeReport(readTextOrNull(report) ?? "");
  console.log(`Slowest files:\n${slowestFiles(summary, SLOWEST).join("\n")}\n`);
  // A test process that fails to load a file, or that dies, has no failed test to show for it.
  const failed = code === 0 ? summary.failed : Math.max(1, summary.failed);
  console.log(`${summary.passed} passed, ${failed} failed, ${summary.skipped} skipped`);
  return failed === 0 ? 0 : 1;
}
