/**
 * Measuring the choices of `webgpu/tuning.ts` on a device.
 *
 * @module
 */

import type { Operations } from "../device.ts";
import type { WebgpuDevice } from "../webgpu/device.ts";
import type { Tuning } from "../webgpu/program.ts";
import { STATIC_TUNING, tuningFamilies, type TuningProduct } from "../webgpu/tuning.ts";
import { type Benchmark, RecordedJob } from "./benchmark.ts";
import { chooseClock, type Effort, measure } from "./measure.ts";
import { Workspace } from "./workspace.ts";

/** Enough to tell alternatives apart that differ by a few percent. */
const EFFORT: Effort = { samples: 7, sampleSeconds: 0.02 };

/** Hears what one alternative took, in seconds, all its products together. */
export type OnMeasured = (family: string, option: Partial<Tuning>, seconds: number) => void;

/** The fastest choice of each family, by the best of several times. */
export async function autotune(
  device: WebgpuDevice,
  onMeasured: OnMeasured,
  effort: Effort = EFFORT,
): Promise<Tuning> {
  const families = tuningFamilies(device.profile);
  let tuning = STATIC_TUNING[device.profile.class];
  const [first] = families.flatMap(({ products }) => products);
  if (!first) return tuning;
  const clock = await chooseClock(device, benchmark(device, tuning, first));
  for (const { name, options, products } of families) {
    let fastest = { seconds: Infinity, choice: tuning };
    for (const option of options) {
      const choice = { ...tuning, ...option };
      let seconds = 0;
      for (const product of products) {
        const measured = await measure(device, benchmark(device, choice, product), clock, effort);
        seconds += Math.min(...measured.seconds);
      }
      onMeasured(name, option, seconds);
      if (seconds < fastest.seconds) fastest = { seconds, choice };
    }
    tuning = fastest.choice;
  }
  return tuning;
}

/** A product compiled with a choice, on 4-bit weights. */
function benchmark(device: WebgpuDevice, tuning: Tuning, product: TuningProduct): Benchmark {
  const { operation, M, K, N } = product;
  return {
    suite: "tuning",
    name: operation,
    shape: `${M}x${K} -> ${N}`,
    work: {},
    large: false,
    prepare: () => {
      const workspace = new Workspace(device);
      const call = arrange(workspace, product);
      const job = new RecordedJob(
        device,
        (calls) =>
          device.recordTuned(operation, tuning, (operations) => {
            for (let done = 0; done < calls; done++) call(operations);
          }),
      );
      return {
        queue: (calls) => job.queue(calls),
        release: () => {
          job.release();
          workspace.release();
        },
      };
    },
  };
}

/** Allocates the operands of a product; the result records one call. */
function arrange(
  workspace: Workspace,
  { operation, M, K, N }: TuningProduct,
): (operations: Operations) => void {
  const left = workspace.floats([M, operation === "linear" ? K : N], "left");
  if (operation === "matmul tn") {
    const right = workspace.floats([M, K], "right");
    const output = workspace.zeros([N, K], "output");
    return (operations) => operations.matmul({ left, right, output, orientation: "tn" });
  }
  const weight = workspace.weight("int4", N, K);
  if (operation === "linear") {
    const output = workspace.zeros([M, N], "output");
    return (operations) => operations.linear({ input: left, weight, output });
  }
  const gradInput = workspace.zeros([M, K], "gradInput");
  return (operations) => operations.linearTransposed({ gradOutput: left, weight, gradInput });
}
