/**
 * Embedding lookup and its gradient.
 *
 * @module
 */

import type { Arguments } from "../shapes.ts";
import type { Dispatch, KernelContext } from "./program.ts";
import { dispatchOf, rowLanes, splitWork, u32, vectorType, vectorWidth } from "./wgsl.ts";

/** `output[t] = table[tokens[t]]`. */
export function embedding(
  { profile }: KernelContext,
  { tokens, table, output }: Arguments<"embedding">,
): Dispatch[] {
  const columns = table.shape[1] as number;
  const width = vectorWidth(columns);
  const lanes = rowLanes(profile, columns);
  const split = splitWork(profile, tokens.size);
  const element = vectorType(width);
  return [dispatchOf(profile, {
    label: "embedding",
    storage: [
      { name: "tokens", tensor: tokens, access: "read", element: "u32" },
      { name: "table", tensor: table, access: "read", element },
      { name: "output", tensor: output, access: "read_write", element },
    ],
    uniforms: {
      rows: u32(tokens.size),
      columns: u32(columns / width),
      per_group: u32(split.perGroup),
    },
    body: `
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first = group.x * parameters.per_group;
  let end = min(first + parameters.per_group, parameters.rows);
  for (var row = first; row < end; row++) {
    let source = tokens[row] * parameters.columns;
    let target_row = row * parameters.columns;
    for (var column = lane; column < parameters.columns; column += ${lanes}u) {
      output[target_row + column] = table[source + column];
    }
  }
}
`,
    workgroups: [split.groups, 1, 1],
  })];
}

/** `gradTable[v] += sum of gradOutput[order[i]]` over the run of id v, in the order of `order`. */
export function embeddingBackward(
  { profile }: KernelContext,
  { gradOutput, order, offsets, gradTable }: Arguments<"embeddingBackward">,
): Dispatch[] {
  const [vocabulary, columns] = gradTable.shape as [number, number];
  const width = vectorWidth(columns);
  const lanes = rowLanes(profile, columns);
  const split = splitWork(profile, vocabulary);
  const element = vectorType(width);
  return [dispatchOf(profile, {
    label: "embeddingBackward",
    storage: [
      { name: "grad_output", tensor: gradOutput, access: "read", element },
      { name: "order", tensor: order, access: "read", element: "u32" },
      { name: "offsets", tensor: offsets, access: "read", element: "u32" },
      { name: "grad_table", tensor: gradTable, access: "read_write", element },
    ],
    uniforms: {
      vocabulary: u32(vocabulary),
      columns: u32(columns / width),
      per_group: u32(split.perGroup),
    },
    body: `
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first = group.x * parameters.per_group;
  let end = min(first + parameters.per_group, parameters.vocabulary);
  for (var id = first; id < end; id++) {
    let start = offsets[id];
    let stop = offsets[id + 1u];
    if (start == stop) {
      continue;
    }
    for (var column = lane; column < parameters.columns; column += ${lanes}u) {
      var sum = ${element}();
      for (var position = start; position < stop; position++) {
        sum += grad_output[order[position] * parameters.columns + column];
      }
      grad_table[id * parameters.columns + column] += sum;
    }
  }
}
`,
    workgroups: [split.groups, 1, 1],
  })];
}
