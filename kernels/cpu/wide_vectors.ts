/**
 * Vectors of 256 bits. WebAssembly has vectors of 128; V8 can pack two neighbouring operations into
 * one AVX2 instruction, which doubles the speed of products, but only under flags that the process is
 * started with: the pass is experimental, and a bounds check between two loads keeps it from packing
 * them. Results are the same bits.
 *
 * Deno takes V8's flags from the environment variable {@linkcode V8_FLAGS_VARIABLE}.
 *
 * @module
 */

/** Where Deno finds flags of V8. */
export const V8_FLAGS_VARIABLE = "DENO_V8_FLAGS";

/** What makes V8 pack vectors. */
export const WIDE_VECTOR_FLAGS: readonly string[] = [
  "--experimental-wasm-revectorize",
  "--no-wasm-bounds-checks",
];

/** Whether this process was started with the flags on a processor that has the instructions. */
export function usesWideVectors(): boolean {
  if (Deno.build.arch !== "x86_64") return false;
  const permission = Deno.permissions.querySync({ name: "env", variable: V8_FLAGS_VARIABLE });
  if (permission.state !== "granted") return false;
  const flags = (Deno.env.get(V8_FLAGS_VARIABLE) ?? "").split(",");
  return WIDE_VECTOR_FLAGS.every((flag) => flags.includes(flag));
}
