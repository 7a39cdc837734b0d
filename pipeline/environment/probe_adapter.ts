/**
 * Whether WebGPU works, found out by using it.
 *
 * @module
 */

import { resolve } from "node:path";

/** A driver that has not answered by then hangs. */
const TIMEOUT_MILLISECONDS = 60_000;

/** An adapter that gave a device. */
export interface AdapterFound {
  /** "NVIDIA H200". */
  readonly name: string;
  /** Whether it computes on the processor. */
  readonly software: boolean;
}

/** Outcome of {@linkcode probeAdapter}. */
export interface AdapterProbe {
  /** Null if no device could be opened. */
  readonly adapter: AdapterFound | null;
  /** Why not, in the driver's words; empty where WebGPU simply finds nothing. */
  readonly problem: string;
}

/** Opens a WebGPU device in a child process. Needs permission to run Deno itself. */
export async function probeAdapter(): Promise<AdapterProbe> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--no-config",
      "--no-lock",
      "--no-prompt",
      "--allow-env=DENO_WEBGPU_BACKEND",
      resolve(import.meta.dirname ?? ".", "adapter_process.ts"),
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), TIMEOUT_MILLISECONDS);
  try {
    return interpretProbe(await child.output());
  } finally {
    clearTimeout(timer);
  }
}

/** Reads the output of `adapter_process.ts`. */
export function interpretProbe(
  output: Pick<Deno.CommandOutput, "success" | "code" | "signal" | "stdout" | "stderr">,
): AdapterProbe {
  if (output.success) {
    const adapter: unknown = JSON.parse(new TextDecoder().decode(output.stdout));
    return { adapter: isAdapterFound(adapter) ? adapter : null, problem: "" };
  }
  const lines = new TextDecoder().decode(output.stderr).split("\n").map((line) => line.trim());
  const error = lines.find((line) => /error|panicked/i.test(line)) ?? lines.find(Boolean) ?? "";
  const end = output.signal === null ? `exit status ${output.code}` : `signal ${output.signal}`;
  return { adapter: null, problem: error === "" ? `it ended with ${end}` : error };
}

/** Whether a value that was read is an {@linkcode AdapterFound}. */
export function isAdapterFound(value: unknown): value is AdapterFound {
  return typeof value === "object" && value !== null && "name" in value &&
    typeof value.name === "string" && "software" in value && typeof value.software === "boolean";
}
