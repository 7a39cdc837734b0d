import assert from "node:assert/strict";
import { fusesMultiplyAdd } from "../../kernels/cpu/info.ts";
import { threadsPerJob, wideVectorVariables } from "./cpu_settings.ts";

Deno.test("threadsPerJob() shares the processors among the jobs", () => {
  const threads = (jobs: number, processors: number) =>
    threadsPerJob(jobs, undefined, undefined, processors);
  assert.deepEqual([threads(1, 8), threads(2, 8), threads(3, 8), threads(9, 8)], [8, 4, 2, 1]);
});

Deno.test("threadsPerJob() is what was asked for, first on the command line", () => {
  assert.equal(threadsPerJob(4, undefined, "3", 8), 3);
  assert.equal(threadsPerJob(4, 5, "3", 8), 5);
  assert.equal(threadsPerJob(4, undefined, "", 8), 2);
  for (const wrong of ["0", "two", "1.5"]) {
    assert.throws(() => threadsPerJob(1, undefined, wrong, 8), {
      name: "UserError",
      message:
        `EQUIPOISE_THREADS must be a whole number of at least 1, found "${wrong}": change or unset it`,
    });
  }
});

Deno.test("wideVectorVariables() add flags to those that V8 has, unless they are turned off", async () => {
  const flags = async (variables: Record<string, string>) =>
    (await wideVectorVariables({ variables }))["DENO_V8_FLAGS"]?.split(",");
  assert.equal(await flags({ EQUIPOISE_WIDE_VECTORS: "off" }), undefined);
  if (Deno.build.arch !== "x86_64" || !fusesMultiplyAdd()) return;
  const added = ["--experimental-wasm-revectorize", "--no-wasm-bounds-checks"];
  assert.deepEqual(await flags({}), added);
  assert.deepEqual(await flags({ DENO_V8_FLAGS: "--stack-size=2000" }), [
    "--stack-size=2000",
    ...added,
  ]);
  assert.deepEqual(await flags({ DENO_V8_FLAGS: added.join(",") }), added);
});

Deno.test("wideVectorVariables() are none where this V8 refuses the flags", async () => {
  const refused = { variables: { DENO_V8_FLAGS: "--no-such-flag" } };
  assert.deepEqual(await wideVectorVariables(refused), {});
});
