/**
 * RMSNorm (Zhang & Sennrich 2019) and its gradients.
 *
 * With `r = 1 / sqrt(mean(x^2) + epsilon)` and `y = r x w`:
 * `dx = r (w dy) - x r^3 mean(x w dy)` and `dw = sum over rows of r x dy`.
 *
 * @module
 */

import type { Tensor } from "../device.ts";
import type { Arguments } from "../shapes.ts";
import { columnReduction } from "./column_sum.ts";
import type { Dispatch, KernelContext, Profile } from "./program.ts";
import {
  dispatchOf,
  f32,
  reductions,
  rowLanes,
  splitWork,
  type Storage,
  sumOf,
  u32,
  vectorType,
  vectorWidth,
} from "./wgsl.ts";

/** `output = input / sqrt(mean(input^2) + epsilon) * weight`. */
export function rmsNorm(
  { profile }: KernelContext,
  { input, weight, output, epsilon }: Arguments<"rmsNorm">,
): Dispatch[] {
  const element = vectorType(vectorWidth(weight.size));
  return [normalize(profile, {
    label: "rmsNorm",
    weight,
    epsilon,
    storage: [
      { name: "input", tensor: input, access: "read", element },
      { name: "weight", tensor: weight, access: "read", element },
      { name: "output", tensor: output, access: "read_write", element },
    ],
    first: "let x = input[base + column];",
    again: "input[base + column]",
  })];
}

/** `sum = input + residual`, and its norm. */
export function addRmsNorm(
  { profile }: KernelContext,
  { input, residual, weight, sum, output, epsilon }: Arguments<"addRmsNorm">,
): Dispatch[] {
  const element = vectorType(vectorWidth(weight.size));
  // Where the sum takes the place of an operand, that is bound once.
  const inPlace = sum === input || sum === residual;
  const other = sum === input ? residual : input;
  return [normalize(profile, {
    label: `addRmsNorm${inPlace ? " in place" : ""}`,
    weight,
    epsilon,
    storage: [
      { name: "input", tensor: other, access: "read", element },
      ...(inPlace
        ? []
        : [{ name: "residual", tensor: residual, access: "read", element } as const]),
      { name: "weight", tensor: weight, access: "read", element },
      { name: "sum", tensor: sum, access: "read_write", element },
      { name: "output", tensor: output, access: "read_write", element },
    ],
    first: `let x = input[base + column] + ${inPlace ? "sum" : "residual"}[base + column];
      sum[base + column] = x;`,
    again: "sum[base + column]",
  })];
}

/** A norm of rows that are read twice. */
interface Normalization {
  readonly label: string;
  readonly weight: Tensor;
  readonly epsilon: number;
  readonly storage: readonly Storage[];
  /** Declares `x`, the element at `base + column`. */
  readonly first: string;
  /** The element once more, by the same invocation. */
  readonly again: string;
}

function normalize(
  profile: Profile,
  { label, weight, epsilon, storage, first, again }: Normalization,
): Dispatch {
  const columns = weight.size;
  const rows = (storage.at(-1) as Storage).tensor.size / columns;
  const width = vectorWidth(columns);
  const lanes = rowLanes(profile, columns);
  const split = splitWork(profile, rows);
  return dispatchOf(profile, {
    label,
    storage,
    uniforms: {
      rows: u32(rows),
      columns: u32(columns / width),
      per_group: u32(split.perGroup),
      inverse_columns: f32(1 / columns),
      epsilon: f32(epsilon),
    },
    body: `
${reductions(profile, lanes, { reduce_sum: "add" })}

@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first = group.x * parameters.per_group;
  let end = min(first + parameters.per_group, parameters.rows);
  for (var row = first; row < end; row++) {
    let base = row * parameters.columns;
    var squares = ${vectorType(width)}();
    for (var column = lane; column < parameters.columns; column += ${lanes}u) {
      ${first}
      squares = fma(x, x, squares);
    }
    let mean = reduce_sum(${sumOf(width, "squares")}, lane) * parameters.inverse_columns;
    let scale = 1.0 / sqrt(mean + parameters.epsilon);
    for (var column = lane; column < parameters.columns; column += ${lanes}u) {
      output[base + column] = ${again} * scale * weight[column];
    }
  }
}
`,
    workgroups: [split.groups, 1, 1],
  });
}

/** See the module documentation. */
export function rmsNormBackward(
  context: KernelContext,
  args: Arguments<"rmsNormBackward">,
): Dispatch[] {
  const { input, gradOutput, gradWeight } = args;
  const [rows, columns] = input.shape as [number, number];
  const scales = context.scratch("f32", [rows]);
  const gradInput = inputGradient(context, args, scales);
  if (!gradWeight) return [gradInput];
  return [
    gradInput,
    ...columnReduction(context, {
      label: "rmsNormBackward weight",
      rows,
      columns,
      matrices: { x: input, grad: gradOutput },
      rowVectors: { scales },
      term: "x[index] * grad[index] * scales[row]",
      output: gradWeight,
    }),
  ];
}

function inputGradient(
  { profile }: KernelContext,
  { input, weight, gradOutput, gradInput, epsilon, accumulate }: Arguments<"rmsNormBackward">,
  scales: Tensor,
): Dispatch {
  const [rows, columns] = input.shape as [number, number];
  const width = vectorWidth(columns);
  const lanes = rowLanes(profile, columns);
  const split = splitWork(profile, rows);
  const element = vectorType(width);
  return dispatchOf(profile, {
    label: "rmsNormBackward input",
    storage: [
      { name: "input", tensor: input, access: "read", element },
      { name: "weight", tensor: weight, access: "read", element },
      { name: "grad_output", tensor: gradOutput, access: "read", element },
      { name: "grad_input", tensor: gradInput, access: "read_write", element },
      { name: "scales", tensor: scales, access: "read_write", element: "f32" },
    ],
    uniforms: {
      rows: u32(rows),
      columns: u32(columns / width),
      per_group: u32(split.perGroup),
      inverse_columns: f32(1 / columns),
      epsilon: f32(epsilon),
    },
    body: `
${reductions(profile, lanes, { reduce_sum: "add" })}

@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first = group.x * parameters.per_group;
  let end = min(first + parameters.per_group, parameters.rows);
  for (var row = first; row < end; row++) {
    let base = row * parameters.columns;
    var squares = ${element}();
    var products = ${element}();
    for (var column = lane; column < parameters.columns; column += ${lanes}u) {
      let x = input[base + column];
      squares = fma(x, x, squares);
      products = fma(x * weight[column], grad_output[base + column], products);
    }
    let mean = reduce_sum(${sumOf(width, "squares")}, lane) * parameters.inverse_columns;
    let product = reduce_sum(${sumOf(width, "products")}, lane) * parameters.inverse_columns;
    let scale = 1.0 / sqrt(mean + parameters.epsilon);
    let correction = scale * scale * product;
    for (var column = lane; column < parameters.columns; column += ${lanes}u) {
      let through = weight[column] * grad_output[base + column];
      grad_input[base + column] ${accumulate ? "+=" : "="}
        scale * (through - input[base + column] * correction);
    }
    if (lane == 0u) {
      scales[row] = scale;
    }
  }
}
`,
    workgroups: [split.groups, 1, 1],
  });
}
