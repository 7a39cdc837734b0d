/**
 * Quantization with learned clipping (ApiQ, Liao et al. 2024) and the gradient of its logits. The
 * invocations of a workgroup share one group of weights at a time.
 *
 * @module
 */

import type { ClippedGrid, Tensor } from "../device.ts";
import type { Arguments } from "../shapes.ts";
import type { Dispatch, KernelContext } from "./program.ts";
import { rowLayout, rowRanges, rowsOf } from "./shards.ts";
import {
  dispatchOf,
  f32,
  reductions,
  rowLanes,
  splitWork,
  sumOf,
  u32,
  vectorType,
  vectorWidth,
} from "./wgsl.ts";

/** `output = scale (clamp(round(w / scale) + zero, 0, 2^bits - 1) - zero)`. */
export function clippedQuantize(
  context: KernelContext,
  { output, ...grid }: Arguments<"clippedQuantize">,
): Dispatch[] {
  return forEachGroup(context, {
    label: "clippedQuantize",
    grid,
    matrix: { name: "output", tensor: output, access: "read_write" },
    logits: {},
    start: "",
    code: "output[index] = grid.scale * (code - grid.zero);",
    end: "",
  });
}

/** See {@linkcode Operations.clippedQuantizeBackward} for the derivatives. */
export function clippedQuantizeBackward(
  context: KernelContext,
  { gradOutput, gradUpper, gradLower, ...grid }: Arguments<"clippedQuantizeBackward">,
): Dispatch[] {
  const width = vectorWidth(grid.groupSize);
  return forEachGroup(context, {
    label: "clippedQuantizeBackward",
    grid,
    matrix: { name: "grad_output", tensor: gradOutput, access: "read" },
    logits: { grad_upper: gradUpper, grad_lower: gradLower },
    start: `var slopes = ${vectorType(width)}();`,
    code: `let through = select(${vectorType(width)}(), quotient, code == wanted);
      slopes = fma(grad_output[index], code - grid.zero - through, slopes);`,
    end: `let grad_scale = reduce_sum(${sumOf(width, "slopes")}, lane);
    if (lane == 0u) {
      grad_upper[row] += grad_scale * grid.by_upper;
      grad_lower[row] += grad_scale * grid.by_lower;
    }`,
  });
}

interface GroupKernel {
  readonly label: string;
  readonly grid: ClippedGrid;
  /** Another matrix like the weight. */
  readonly matrix: {
    readonly name: string;
    readonly tensor: Tensor;
    readonly access: "read" | "read_write";
  };
  /** Written tensors like the logits. */
  readonly logits: Readonly<Record<string, Tensor>>;
  /** Before the weights of a group. */
  readonly start: string;
  /** For each vector of weights; sees `index`, `quotient`, `wanted` and `code`. */
  readonly code: string;
  /** After the weights of a group, the number of which is `row`. */
  readonly end: string;
}

function forEachGroup(
  { profile }: KernelContext,
  { label, grid, matrix, logits, start, code, end }: GroupKernel,
): Dispatch[] {
  const { weight, upper, lower, groupSize, bits, symmetric, containsZero } = grid;
  const groups = upper.size;
  const width = vectorWidth(groupSize);
  const element = vectorType(width);
  const lanes = rowLanes(profile, groupSize);
  const levels = 2 ** bits - 1;
  const largest = (value: string) =>
    width === 4 ? `max(max(${value}.x, ${value}.y), max(${value}.z, ${value}.w))` : value;
  const matrices = [weight, matrix.tensor].map((tensor) => rowLayout(tensor, groups));
  const vectors = [upper, lower, ...Object.values(logits)]
    .map((tensor) => rowLayout(tensor, groups));
  return rowRanges(profile, groups, [...matrices, ...vectors]).map((range) => {
    const [weights, other] = matrices.map((layout) => rowsOf(layout, range)) as [Tensor, Tensor];
    const parts = vectors.map((layout) => rowsOf(layout, range));
    const split = splitWork(profile, range.count);
    return dispatchOf(profile, {
      label: `${label}${symmetric ? " symmetric" : ""}${containsZero ? " with zero" : ""}`,
      storage: [
        { name: "weight", tensor: weights, access: "read", element },
        { name: matrix.name, tensor: other, access: matrix.access, element },
        ...["upper", "lower", ...Object.keys(logits)].map((name, index) => ({
          name,
          tensor: parts[index] as Tensor,
          access: index < 2 ? "read" as const : "read_write" as const,
          element: "f32",
        })),
      ],
      uniforms: {
        rows: u32(range.count),
        columns: u32(groupSize / width),
        per_group: u32(split.perGroup),
        levels: f32(levels),
        divisor: f32(symmetric ? 2 ** (bits - 1) - 1 : levels),
      },
      body: `
${reductions(profile, lanes, { reduce_max: "max", reduce_sum: "add" })}
${gridOf(symmetric)}

@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first = group.x * parameters.per_group;
  let end = min(first + parameters.per_group, parameters.rows);
  for (var row = first; row < end; row++) {
    let base = row * parameters.columns;
    var above = ${containsZero ? `${element}()` : "weight[base]"};
    var below = -above;
    for (var column = lane; column < parameters.columns; column += ${lanes}u) {
      above = max(above, weight[base + column]);
      below = max(below, -weight[base + column]);
    }
    let maximum = reduce_max(${largest("above")}, lane);
    let minimum = -reduce_max(${largest("below")}, lane);
    let grid = grid_of(maximum, minimum, upper[row], lower[row]);
    ${start}
    for (var column = lane; column < parameters.columns; column += ${lanes}u) {
      let index = base + column;
      let quotient = weight[index] / grid.scale;
      let wanted = round(quotient) + grid.zero;
      let code = clamp(wanted, ${element}(), ${element}(parameters.levels));
      ${code}
    }
    ${end}
  }
}
`,
      workgroups: [split.groups, 1, 1],
    });
  });
}

/** The grid of a group, with the derivatives of its scale by both logits. */
function gridOf(symmetric: boolean): string {
  return `struct Grid { scale: f32, zero: f32, by_upper: f32, by_lower: f32 }
fn grid_of(maximum: f32, minimum: f32, upper: f32, lower: f32) -> Grid {
  // Both sides of a sigmoid without cancellation or overflow.
  let logits = vec2<f32>(upper, lower);
  let decay = exp(-abs(logits));
  let share = select(decay, vec2<f32>(1.0), logits >= vec2<f32>()) / (1.0 + decay);
  let slope = decay / ((1.0 + decay) * (1.0 + decay));
  let ends = share * vec2<f32>(maximum, minimum);
  let moves = slope * vec2<f32>(maximum, minimum) / parameters.divisor;
  let range = ${symmetric ? "max(abs(ends.x), abs(ends.y))" : "ends.x - ends.y"};
  let free_scale = range / parameters.divisor;
  let scale = clamp(free_scale, 1e-5, 1e4);
  let is_free = scale == free_scale;
${
    symmetric
      ? `  let by_upper = abs(ends.x) >= abs(ends.y);
  return Grid(
    scale,
    parameters.divisor,
    select(0.0, abs(moves.x), is_free && by_upper),
    select(0.0, abs(moves.y), is_free && !by_upper),
  );`
      : `  return Grid(
    scale,
    round(clamp(-ends.y / scale, -1e4, 1e4)),
    select(0.0, moves.x, is_free),
    select(0.0, -moves.y, is_free),
  );`
  }
}`;
}
