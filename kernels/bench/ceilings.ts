/**
 * What a device can do at most: the yardsticks of all other benchmarks.
 *
 * @module
 */

import type { Device, Tensor } from "../device.ts";
import { WebgpuDevice } from "../webgpu/device.ts";
import type { Dispatch, KernelContext } from "../webgpu/program.ts";
import { type Benchmark, benchmarkOf, RecordedJob } from "./benchmark.ts";
import { cpuFmaCeiling } from "./cpu_ceiling.ts";
import { bytesOf } from "./workspace.ts";

/** Elements of the copied tensor: 64 MiB, beyond the caches of most processors. */
const COPIED = 2 ** 24;

/** The speed at which memory can be read and written at once. */
export const copyCeiling: Benchmark = benchmarkOf({
  name: "ceiling copy",
  shape: `${COPIED} values`,
  work: { bytes: 2 * bytesOf([COPIED]) },
  arrange(workspace) {
    const input = workspace.floats([COPIED], "input");
    const output = workspace.zeros([COPIED], "output");
    return (operations) => operations.copy({ input, output });
  },
});

/** Chains of dependent multiply-adds per lane: three vectors fit the registers of any processor. */
const VECTORS = 3;

/** Multiply-adds of each chain. */
const LINKS = 512;

/** Links written out in the body of the loop. */
const UNROLLED = 16;

/** Lanes of a workgroup. */
const WIDTH = 64;

/**
 * The speed of multiply-adds on registers, in f32 as all kernels compute; null for the reference device.
 *
 * @param threads Those of the CPU device.
 */
export function fmaCeiling(
  device: Device,
  threads: number = navigator.hardwareConcurrency,
): Benchmark | null {
  if (device instanceof WebgpuDevice) return webgpuFmaCeiling(device);
  return device.info.name === "cpu" ? cpuFmaCeiling(threads) : null;
}

function webgpuFmaCeiling(device: WebgpuDevice): Benchmark {
  const lanes = device.profile.class === "software" ? 2 ** 14 : 2 ** 20;
  return {
    suite: "ceilings",
    large: false,
    name: "ceiling fma",
    shape: `${lanes} lanes, ${4 * VECTORS} chains`,
    work: { flops: 2 * lanes * 4 * VECTORS * LINKS },
    prepare() {
      const output = device.tensor("f32", [lanes], "sums");
      const job = new RecordedJob(
        device,
        (calls) =>
          device.recordKernels(
            "ceiling fma",
            (context) => Array.from({ length: calls }, () => fmaDispatch(context, output)),
          ),
      );
      return {
        queue: (calls) => job.queue(calls),
        release: () => {
          job.release();
          device.free(output);
        },
      };
    },
  };
}

/**
 * Every lane of `output` gets the sum of its chains, `x = 0.5 x + 1` over and over. The factors are
 * uniforms, so that no compiler can compute the chains in advance.
 */
export function fmaDispatch({ profile }: KernelContext, output: Tensor): Dispatch {
  const chains = Array.from({ length: VECTORS }, (_, index) => `chain${index}`);
  const link = chains.map((name) => `    ${name} = fma(${name}, factor, summand);`).join("\n");
  return {
    label: "ceiling fma",
    code: `${profile.preamble}
struct Parameters { factor: f32, summand: f32 }
@group(0) @binding(0) var<storage, read_write> sums: array<f32>;
@group(0) @binding(1) var<uniform> parameters: Parameters;

@compute @workgroup_size(${WIDTH})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let factor = vec4<f32>(parameters.factor);
  let summand = vec4<f32>(parameters.summand);
${chains.map((name, index) => `  var ${name} = vec4<f32>(f32(id.x) + ${index}.0);`).join("\n")}
  for (var done = 0u; done < ${LINKS / UNROLLED}u; done++) {
${Array.from({ length: UNROLLED }, () => link).join("\n")}
  }
  sums[id.x] = dot(${chains.join(" + ")}, vec4<f32>(1.0));
}
`,
    bindings: [{ tensor: output, access: "read_write" }],
    uniforms: [{ type: "f32", value: 0.5 }, { type: "f32", value: 1 }],
    workgroups: [output.size / WIDTH, 1, 1],
  };
}
