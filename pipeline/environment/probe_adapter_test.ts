import assert from "node:assert/strict";
import { interpretProbe } from "./probe_adapter.ts";

function output(
  { stdout = "", stderr = "", code = 0, signal = null }: {
    stdout?: string;
    stderr?: string;
    code?: number;
    signal?: Deno.Signal | null;
  },
): Parameters<typeof interpretProbe>[0] {
  const encoder = new TextEncoder();
  return {
    success: code === 0,
    code,
    signal,
    stdout: encoder.encode(stdout),
    stderr: encoder.encode(stderr),
  };
}

Deno.test("interpretProbe() tells an adapter from none", () => {
  const adapter = { name: "llvmpipe (LLVM 15)", software: true };
  assert.deepEqual(interpretProbe(output({ stdout: `${JSON.stringify(adapter)}\n` })), {
    adapter,
    problem: "",
  });
  assert.deepEqual(interpretProbe(output({ stdout: "null\n" })), { adapter: null, problem: "" });
});

Deno.test("interpretProbe() reports how a driver took its process down", () => {
  assert.deepEqual(
    interpretProbe(output({ code: 139, signal: "SIGSEGV" })),
    { adapter: null, problem: "it ended with signal SIGSEGV" },
  );
  assert.deepEqual(
    interpretProbe(output({ code: 101, stderr: "note: x\nthread 'main' panicked at y\n" })),
    { adapter: null, problem: "thread 'main' panicked at y" },
  );
});
