/**
 * Embedding lookup and its gradient.
 *
 * @module
 */

import type { Arguments } from "../shapes.ts";
import type { Dispatch, KernelContext } from "./program.ts";
import { rowLayout, rowRanges, rowsOf } from "./shards.ts";
import { dispatchOf, rowLanes, splitWork, u32, vectorType, vectorWidth } from "./wgsl.ts";

/** `output[t] = table[tokens[t]]`, one shard of the table at a time; a shard skips the others' tokens. */
export function embedding(
  { profile }: KernelContext,
  { tokens, table, output }: Arguments<"embedding">,
): Dispatch[] {
  const [vocabulary, columns] = table.shape as [number, number];
  const width = vectorWidth(columns);
  const lanes = rowLanes(profile, columns);
  const split = splitWork(profile, tokens.size);
  const element = vectorType(width);
  const layout = rowLayout(table, vocabulary);
  return rowRanges(profile, vocabulary, [layout]).map((range) =>
    dispatchOf(profile, {
      label: "embedding",
      storage: [
        { name: "tokens", tensor: tokens, access: "read", element: "u32" },
        { name: "table", tensor: rowsOf(layout, range), access: "read", element },
        { name: "output", tensor: output, access: "read_write", element },
      ],
      uniforms: {
        rows: u32(tokens.size),
        columns: u32(columns / width),
        per_group: u32(split.perGroup),
        first_id: u32(range.first),
        ids: u32(range.count),
      },
      body: `
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first = group.x * parameters.per_group;
  let end = min(first + parameters.per_group, parameters.rows);
  for (var row = first; row < end; row++) {
    // Smaller ids wrap around to large ones.
    let id = tokens[row] - parameters.first_id;
    if (id >= parameters.ids) {
      continue;
    }
    let source = id * parameters.columns;
    let target_row = row * parameters.columns;
    for (var column = lane; column < parameters.columns; column += ${lanes}u) {
      output[target_row + column] = table[source + column];
    }
  }
}
`,
      workgroups: [split.groups, 1, 1],
    })
  );
}

/** `gradTable[v] += sum of gradOutput[order[i]]` over the run of id v, in the order of `order`. */
export function embeddingBackward(
  { profile }: KernelContext,
  { gradOutput, order, offsets, gradTable }: Arguments<"embeddingBackward">,
): Dispatch[] {
  const [vocabulary, columns] = gradTable.shape as [number, number];
  const width = vectorWidth(columns);
  const lanes = rowLanes(profile, columns);
  const element = vectorType(width);
  const table = rowLayout(gradTable, vocabulary);
  return rowRanges(profile, vocabulary, [table]).map((range) => {
    const split = splitWork(profile, range.count);
    return dispatchOf(profile, {
      label: "embeddingBackward",
      storage: [
        { name: "grad_output", tensor: gradOutput, access: "read", element },
        { name: "order", tensor: order, access: "read", element: "u32" },
        { name: "offsets", tensor: offsets, access: "read", element: "u32" },
        { name: "grad_table", tensor: rowsOf(table, range), access: "read_write", element },
      ],
      uniforms: {
        first_id: u32(range.first),
        ids: u32(range.count),
        columns: u32(columns / width),
        per_group: u32(split.perGroup),
      },
      body: `
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first = group.x * parameters.per_group;
  let end = min(first + parameters.per_group, parameters.ids);
  for (var row = first; row < end; row++) {
    let start = offsets[parameters.first_id + row];
    let stop = offsets[parameters.first_id + row + 1u];
    if (start == stop) {
      continue;
    }
    for (var column = lane; column < parameters.columns; column += ${lanes}u) {
      var sum = ${element}();
      for (var position = start; position < stop; position++) {
        sum += grad_output[order[position] * parameters.columns + column];
      }
      grad_table[row * parameters.columns + column] += sum;
    }
  }
}
`,
      workgroups: [split.groups, 1, 1],
    });
  });
}
