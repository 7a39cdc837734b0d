/**
 * Operations on corresponding elements: four at a time, with the last, partial four written one by
 * one. (Reading past a tensor's end is harmless: bindings are padded to whole vectors.)
 *
 * @module
 */

import type { Tensor } from "../device.ts";
import type { Arguments } from "../shapes.ts";
import type { Dispatch, KernelContext, Profile, Uniform } from "./program.ts";
import { rowLayout, rowRanges, rowsOf } from "./shards.ts";
import { webgpuTensor } from "./tensor.ts";
import { dispatchOf, splitWork, type Storage, u32 } from "./wgsl.ts";

/** An operation on corresponding elements. */
export interface Elementwise {
  /** For timing tables and error messages. */
  readonly label: string;
  /** Type of inputs and outputs. */
  readonly element: "f32" | "u32";
  /** Readable as `name`, a vector of four. */
  readonly inputs: Readonly<Record<string, Tensor>>;
  /** Assigned to `name`, a vector of four; holds the old value before. */
  readonly outputs: Readonly<Record<string, Tensor>>;
  /** Small f32 tensors, readable as `name[index]`. */
  readonly tables?: Readonly<Record<string, Tensor>>;
  /** Readable as `parameters.name`. */
  readonly uniforms?: Readonly<Record<string, Uniform>>;
  /** WGSL statements. */
  readonly body: string;
}

/** The dispatches of an operation on tensors of equal size; inputs may be outputs. */
export function elementwise({ profile }: KernelContext, operation: Elementwise): Dispatch[] {
  const { inputs, outputs } = operation;
  const tensors = [...Object.values(outputs), ...Object.values(inputs)];
  const { size } = tensors[0] as Tensor;
  const layouts = tensors.map((tensor) => rowLayout(tensor, size));
  return rowRanges(profile, size, layouts).map((range) => {
    const part = (tensors: Readonly<Record<string, Tensor>>) =>
      Object.fromEntries(
        Object.entries(tensors).map((
          [name, tensor],
        ) => [name, rowsOf(rowLayout(tensor, size), range)]),
      );
    return dispatchElements(profile, {
      ...operation,
      inputs: part(inputs),
      outputs: part(outputs),
    });
  });
}

function dispatchElements(profile: Profile, operation: Elementwise): Dispatch {
  const { element, inputs, outputs, tables = {} } = operation;
  const vector = `vec4<${element}>`;
  const outputNames = Object.keys(outputs);
  const storage: Storage[] = [];
  for (const [name, tensor] of Object.entries(outputs)) {
    storage.push({ name: `${name}_values`, tensor, access: "read_write", element: vector });
  }
  const loads = outputNames.map((name) => `  var ${name} = ${name}_values[index];`);
  for (const [name, tensor] of Object.entries(inputs)) {
    const same = outputNames.find((output) => sameMemory(outputs[output] as Tensor, tensor));
    if (!same) storage.push({ name: `${name}_values`, tensor, access: "read", element: vector });
    loads.push(`  let ${name} = ${same ?? name}_values[index];`);
  }
  for (const [name, tensor] of Object.entries(tables)) {
    storage.push({ name, tensor, access: "read", element: "f32" });
  }
  const { size } = Object.values(outputs)[0] as Tensor;
  const vectors = Math.ceil(size / 4);
  const lanes = elementLanes(profile);
  const split = splitWork(profile, Math.ceil(vectors / lanes));
  return dispatchOf(profile, {
    label: operation.label,
    storage,
    uniforms: {
      ...operation.uniforms,
      full_vectors: u32(Math.floor(size / 4)),
      vectors: u32(vectors),
      tail: u32(size % 4),
      per_group: u32(split.perGroup * lanes),
    },
    body: `
fn apply(index: u32) {
${loads.join("\n")}
${operation.body}
  if (index < parameters.full_vectors) {
${outputNames.map((name) => `    ${name}_values[index] = ${name};`).join("\n")}
  } else {
    for (var component = 0u; component < parameters.tail; component++) {
${
      outputNames.map((name) => `      ${name}_values[index][component] = ${name}[component];`)
        .join("\n")
    }
    }
  }
}

@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first = group.x * parameters.per_group;
  let end = min(first + parameters.per_group, parameters.vectors);
  for (var index = first + lane; index < end; index += ${lanes}u) {
    apply(index);
  }
}
`,
    workgroups: [split.groups, 1, 1],
  });
}

function elementLanes(profile: Profile): number {
  if (profile.class === "software") return Math.max(profile.subgroupSize, 8);
  return Math.min(256, profile.maxWorkgroupInvocations);
}

function sameMemory(left: Tensor, right: Tensor): boolean {
  const [first, second] = [webgpuTensor(left), webgpuTensor(right)];
  return first.allocation === second.allocation && first.offset === second.offset;
}

/** `output = value`. */
export function fill(context: KernelContext, { output, value }: Arguments<"fill">): Dispatch[] {
  const bits = output.dtype === "u32" ? value : new Uint32Array(Float32Array.of(value).buffer)[0];
  return elementwise(context, {
    label: "fill",
    element: "u32",
    inputs: {},
    outputs: { output },
    uniforms: { bits: u32(bits ?? 0) },
    body: "  output = vec4<u32>(parameters.bits);",
  });
}

/** `output = input`. */
export function copy(context: KernelContext, { input, output }: Arguments<"copy">): Dispatch[] {
  return elementwise(context, {
    label: "copy",
    element: "u32",
    inputs: { input },
    outputs: { output },
    body: "  output = input;",
  });
}

/** `output = left + right`. */
export function add(context: KernelContext, { left, right, output }: Arguments<"add">): Dispatch[] {
  return elementwise(context, {
    label: "add",
    element: "f32",
    inputs: { left, right },
    outputs: { output },
    body: "  output = left + right;",
  });
}

/** `output = silu(gate) * up`. */
export function swiglu(
  context: KernelContext,
  { gate, up, output }: Arguments<"swiglu">,
): Dispatch[] {
  return elementwise(context, {
    label: "swiglu",
    element: "f32",
    inputs: { gate, up },
    outputs: { output },
    body: "  output = gate / (1.0 + exp(-gate)) * up;",
  });
}

/** With `s = sigmoid(gate)`: `silu' = s (1 + gate (1 - s))`. */
export function swigluBackward(
  context: KernelContext,
  { gate, up, gradOutput, gradGate, gradUp }: Arguments<"swigluBackward">,
): Dispatch[] {
  return elementwise(context, {
    label: "swigluBackward",
    element: "f32",
    inputs: { gate, up, grad: gradOutput },
    outputs: { grad_gate: gradGate, grad_up: gradUp },
    body: `
  let sigmoid = 1.0 / (1.0 + exp(-gate));
  grad_gate = grad * up * sigmoid * (1.0 + gate * (1.0 - sigmoid));
  grad_up = grad * gate * sigmoid;`,
  });
}

/** One AdamW step; see {@linkcode Operations.adamw} for the layout of `hyper`. */
export function adamw(
  context: KernelContext,
  { parameters, gradients, moment1, moment2, hyper, norm }: Arguments<"adamw">,
): Dispatch[] {
  return elementwise(context, {
    label: "adamw",
    element: "f32",
    inputs: { gradient: gradients },
    outputs: { weight: parameters, first_moment: moment1, second_moment: moment2 },
    tables: { hyper, norm },
    body: `
  let rate = hyper[0];
  let scaled = gradient * norm[1];
  first_moment += (1.0 - hyper[1]) * (scaled - first_moment);
  second_moment = hyper[2] * second_moment + (1.0 - hyper[2]) * scaled * scaled;
  let denominator = sqrt(second_moment) / sqrt(hyper[6]) + hyper[3];
  weight = weight * (1.0 - rate * hyper[4]) - rate / hyper[5] * first_moment / denominator;`,
  });
}
