/**
 * Pieces of WGSL that the kernels share: declarations, reductions, work distribution.
 *
 * @module
 */

import type { Tensor } from "../device.ts";
import type { Dispatch, Profile, Uniform } from "./program.ts";

/** A storage buffer as a kernel declares it. */
export interface Storage {
  /** Its name in WGSL. */
  readonly name: string;
  /** What is bound. */
  readonly tensor: Tensor;
  /** How the kernel uses it. */
  readonly access: "read" | "read_write";
  /** Element type in WGSL: "f32", "vec4<f32>", "u32". */
  readonly element: string;
}

/** A kernel before its declarations are written. */
export interface Kernel {
  /** For timing tables and error messages. */
  readonly label: string;
  /** In the order of their bindings. */
  readonly storage: readonly Storage[];
  /** Readable as `parameters.name`. */
  readonly uniforms?: Readonly<Record<string, Uniform>>;
  /** Everything after the declarations, with the entry point `main`. */
  readonly body: string;
  /** Workgroups to start. */
  readonly workgroups: Dispatch["workgroups"];
}

/** Writes the declarations of a kernel and returns its dispatch. */
export function dispatchOf(profile: Profile, kernel: Kernel): Dispatch {
  const declarations = kernel.storage.map(({ name, access, element }, index) =>
    `@group(0) @binding(${index}) var<storage, ${access}> ${name}: array<${element}>;`
  );
  const uniforms = Object.entries(kernel.uniforms ?? {});
  if (uniforms.length > 0) {
    const fields = uniforms.map(([name, { type }]) => `  ${name}: ${type},`);
    declarations.push(
      `struct Parameters {\n${fields.join("\n")}\n}`,
      `@group(0) @binding(${kernel.storage.length}) var<uniform> parameters: Parameters;`,
    );
  }
  return {
    label: `${kernel.label} ${profile.class}`,
    code: `${profile.preamble}${declarations.join("\n")}\n${kernel.body}`,
    bindings: kernel.storage.map(({ tensor, access }) => ({ tensor, access })),
    uniforms: uniforms.map(([, uniform]) => uniform),
    workgroups: kernel.workgroups,
  };
}

/** A u32 in the uniform block. */
export function u32(value: number): Uniform {
  return { type: "u32", value };
}

/** An f32 in the uniform block. */
export function f32(value: number): Uniform {
  return { type: "f32", value };
}

/** `count` independent pieces of work, split into contiguous runs of `perGroup` per workgroup. */
export interface Split {
  /** Workgroups. */
  readonly groups: number;
  /** Pieces of work for each, fewer for the last. */
  readonly perGroup: number;
}

/**
 * Splits work over workgroups: few and equal ones on software, where a dispatch is divided statically
 * among threads; as many as there are pieces on hardware, up to the limit.
 */
export function splitWork(profile: Profile, count: number): Split {
  const most = profile.class === "software" ? 64 : profile.maxWorkgroupsPerDimension;
  const perGroup = Math.ceil(count / Math.min(count, most));
  return { groups: Math.ceil(count / perGroup), perGroup };
}

/** Lanes that cooperate on one row of `columns` values: a subgroup on software, else 32 to 256. */
export function rowLanes(profile: Profile, columns: number): number {
  if (profile.class === "software" && profile.subgroupSize > 0) return profile.subgroupSize;
  const wanted = 2 ** Math.ceil(Math.log2(Math.max(columns / 4, 1)));
  return Math.min(Math.max(wanted, 32), 256, profile.maxWorkgroupInvocations);
}

/** Values per memory access along rows of `columns` values: 4 where rows divide, else 1. */
export function vectorWidth(columns: number): 1 | 4 {
  return columns % 4 === 0 ? 4 : 1;
}

/** The WGSL type of `width` f32 values. */
export function vectorType(width: 1 | 4): string {
  return width === 4 ? "vec4<f32>" : "f32";
}

/** The WGSL expression that sums the components of a value of `width`. */
export function sumOf(width: 1 | 4, value: string): string {
  return width === 4 ? `dot(${value}, vec4<f32>(1.0))` : value;
}

/**
 * WGSL functions `fn name(value: f32, lane: u32) -> f32` that combine the values of all `lanes` of a
 * workgroup, in a fixed order, and return the result to each. Must be called by all lanes.
 */
export function reductions(
  profile: Profile,
  lanes: number,
  functions: Readonly<Record<string, "add" | "max">>,
): string {
  const { subgroupSize } = profile;
  const bodies = Object.entries(functions).map(([name, operation]) =>
    subgroupSize > 0
      ? subgroupReduction(name, operation, subgroupSize, lanes)
      : treeReduction(name, operation, lanes)
  );
  const shared = subgroupSize > 0 ? lanes / subgroupSize : lanes;
  const memory = shared > 1 ? `var<workgroup> reduction_values: array<f32, ${shared}>;\n` : "";
  return memory + bodies.join("\n");
}

function combine(operation: "add" | "max", left: string, right: string): string {
  return operation === "add" ? `${left} + ${right}` : `max(${left}, ${right})`;
}

function subgroupReduction(
  name: string,
  operation: "add" | "max",
  subgroupSize: number,
  lanes: number,
): string {
  const intrinsic = operation === "add" ? "subgroupAdd" : "subgroupMax";
  const groups = lanes / subgroupSize;
  if (groups <= 1) {
    return `fn ${name}(value: f32, lane: u32) -> f32 {\n  return ${intrinsic}(value);\n}`;
  }
  const rest = Array.from(
    { length: groups - 1 },
    (_, index) => `  result = ${combine(operation, "result", `reduction_values[${index + 1}]`)};`,
  );
  return `fn ${name}(value: f32, lane: u32) -> f32 {
  let partial = ${intrinsic}(value);
  workgroupBarrier();
  if (lane % ${subgroupSize}u == 0u) {
    reduction_values[lane / ${subgroupSize}u] = partial;
  }
  workgroupBarrier();
  var result = reduction_values[0];
${rest.join("\n")}
  return result;
}`;
}

function treeReduction(name: string, operation: "add" | "max", lanes: number): string {
  const steps: string[] = [];
  for (let half = lanes / 2; half >= 1; half /= 2) {
    const folded = combine(
      operation,
      "reduction_values[lane]",
      `reduction_values[lane + ${half}u]`,
    );
    steps.push(`  if (lane < ${half}u) {
    reduction_values[lane] = ${folded};
  }
  workgroupBarrier();`);
  }
  return `fn ${name}(value: f32, lane: u32) -> f32 {
  workgroupBarrier();
  reduction_values[lane] = value;
  workgroupBarrier();
${steps.join("\n")}
  return reduction_values[0];
}`;
}
