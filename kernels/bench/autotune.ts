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

/** Of one round. */
const EFFORT: Effort = { samples: 3, sampleSeconds: 0.02 };

/** Alternatives take turns, so that other work on the machine does not meet only one of them. */
const ROUNDS = 3;

/** Hears what one alternative took, in seconds, all its products together. */
export type OnMeasured = (family: string, option: Partial<Tuning>, seconds: number) => void;

/** The fastest choice of each family, by the best of several times; one family after the other. */
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
    const choices = options.map((option) => ({ ...tuning, ...option }));
    const best = choices.map(() => products.map(() => Infinity));
    for (let round = 0; round < ROUNDS; round++) {
      for (const [c, choice] of choices.entries()) {
        for (const [p, product] of products.entries()) {
          const { seconds } = await measure(
            device,
            benchmark(device, choice, product),
            clock,
            effort,
          );
          const times = best[c] as number[];
          times[p] = Math.min(times[p] as number, ...seconds);
        }
      }
    }
    const totals = best.map((times) => times.reduce((sum, seconds) => sum + seconds, 0));
    options.forEach((option, c) => onMeasured(name, option, totals[c] as number));
    tuning = choices[totals.indexOf(Math.min(...totals))] as Tuning;
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
