/**
 * What the CPU device is on this machine, found out by using it.
 *
 * @module
 */

import { openCpu } from "../../kernels/cpu/device.ts";
import { fusesMultiplyAdd } from "../../kernels/cpu/info.ts";
import { MAX_MEMORY_BYTES } from "../../kernels/cpu/memory.ts";
import { threadsPerJob, wideVectorVariables } from "./cpu_settings.ts";

/** What `deno task doctor` shows of the CPU device. */
export interface CpuReport {
  /** Why it does not compute, or null if it does. */
  readonly problem: string | null;
  /** Threads of a stage that runs alone. */
  readonly threads: number;
  /** Whether a multiplication and an addition round once. */
  readonly fusedMultiplyAdd: boolean;
  /** Whether workers compute on 256 bits at once. */
  readonly wideVectors: boolean;
  /** Bytes that all tensors of a stage can have together. */
  readonly memoryLimit: number;
}

/** Opens the CPU device and lets it add. */
export async function examineCpu(): Promise<CpuReport> {
  const threads = threadsPerJob(1);
  let problem: string | null = null;
  let fusedMultiplyAdd = false;
  try {
    fusedMultiplyAdd = fusesMultiplyAdd();
    problem = await tryAddition(threads);
  } catch (error) {
    problem = error instanceof Error ? error.message : String(error);
  }
  return {
    problem,
    threads,
    fusedMultiplyAdd,
    wideVectors: Object.keys(await wideVectorVariables()).length > 0,
    memoryLimit: MAX_MEMORY_BYTES,
  };
}

async function tryAddition(threads: number): Promise<string | null> {
  const device = await openCpu({ threads });
  try {
    const values = device.tensor("f32", [3], "values");
    device.write(values, Float32Array.of(1, 2, 3));
    device.run(device.record("double", (operations) => {
      operations.add({ left: values, right: values, output: values });
    }));
    const doubled = [...await device.readFloats(values)].join(", ");
    return doubled === "2, 4, 6" ? null : `it computed ${doubled} where 2, 4, 6 is right`;
  } finally {
    device.close();
  }
}
