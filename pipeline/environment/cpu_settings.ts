/**
 * How processes that open the CPU device are set up: threads, and vectors of 256 bits. Neither
 * changes results.
 *
 * @module
 */

import { fusesMultiplyAdd } from "../../kernels/cpu/info.ts";
import { V8_FLAGS_VARIABLE, WIDE_VECTOR_FLAGS } from "../../kernels/cpu/wide_vectors.ts";
import { UserError } from "../errors.ts";

/** Names the threads of each stage on the CPU device. */
export const THREADS_VARIABLE = "EQUIPOISE_THREADS";

/** `off` leaves V8 as it is. */
export const WIDE_VECTORS_VARIABLE = "EQUIPOISE_WIDE_VECTORS";

/**
 * Threads of a stage where `jobs` run at once: what `wanted` or `EQUIPOISE_THREADS` says, else an
 * equal share of the processors that this process may use.
 *
 * @throws {UserError} If `EQUIPOISE_THREADS` is no number of threads.
 */
export function threadsPerJob(
  jobs: number,
  wanted?: number,
  variable: string | undefined = Deno.env.get(THREADS_VARIABLE),
  processors: number = navigator.hardwareConcurrency,
): number {
  if (wanted !== undefined) return wanted;
  if (!variable) return Math.max(1, Math.floor(processors / jobs));
  const threads = Number(variable);
  if (Number.isInteger(threads) && threads >= 1) return threads;
  throw new UserError(
    `${THREADS_VARIABLE} must be a whole number of at least 1, found "${variable}": change or unset it`,
  );
}

/**
 * Environment variables for a process that computes with wide vectors; none where the processor has
 * none, where they are turned off, and where this version of Deno does not know the flags.
 *
 * @param options.command The Deno that will be started. Default: this one.
 * @param options.variables Environment variables of this process.
 */
export async function wideVectorVariables(
  { command = Deno.execPath(), variables = Deno.env.toObject() }: {
    readonly command?: string;
    readonly variables?: Readonly<Record<string, string>>;
  } = {},
): Promise<Record<string, string>> {
  if (variables[WIDE_VECTORS_VARIABLE] === "off" || !hasWideRegisters()) return {};
  const present = (variables[V8_FLAGS_VARIABLE] ?? "").split(",").filter((flag) => flag !== "");
  const added = { [V8_FLAGS_VARIABLE]: [...new Set([...present, ...WIDE_VECTOR_FLAGS])].join(",") };
  return await startsWith(command, added) ? added : {};
}

/** AVX2 came to x86 together with the fused instructions, which a program can find out about. */
function hasWideRegisters(): boolean {
  return Deno.build.arch === "x86_64" && fusesMultiplyAdd();
}

/** V8 ends a process at once that has a flag it does not know. */
async function startsWith(command: string, env: Record<string, string>): Promise<boolean> {
  try {
    const { success } = await new Deno.Command(command, {
      args: ["eval", "--no-config", ""],
      env,
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).output();
    return success;
  } catch (error) {
    // Whoever may not start it will find out in a moment, and says it better.
    if (error instanceof Deno.errors.NotCapable) return false;
    throw error;
  }
}
