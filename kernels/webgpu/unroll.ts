/**
 * Pieces of generated code with named scalars and vectors in place of arrays and loops: a loop in WGSL
 * is neither unrolled nor free, and an array that is indexed by a variable lives in memory.
 *
 * @module
 */

/** `[0, 1, ..., count - 1]`. */
export function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

/** Repeats code for each index below `count`, one line each. */
export function unroll(count: number, code: (index: number) => string): string {
  return range(count).map(code).join("\n");
}

/** Component `index % 4` of a vec4. */
export function component(index: number): string {
  return "xyzw".charAt(index % 4);
}

/** A vec4 from four expressions. */
export function vec4(code: (index: number) => string): string {
  return `vec4<f32>(${range(4).map(code).join(", ")})`;
}

/** The entry point; its body sees `group: vec3<u32>` (workgroup) and `lane: u32` (invocation in it). */
export function entryPoint(workgroupSize: number, body: string): string {
  return `@compute @workgroup_size(${workgroupSize})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
${body}
}
`;
}
