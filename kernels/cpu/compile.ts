/**
 * Loads the compiled kernels: `kernels.wasm` beside this file, which `deno task kernels` makes from
 * the sources.
 *
 * @module
 */

/** Where the module is. */
export const KERNELS_URL = new URL("./kernels.wasm", import.meta.url);

let compiled: Promise<WebAssembly.Module> | undefined;

/** The module of all kernels, compiled once per process. */
export function compileKernels(): Promise<WebAssembly.Module> {
  return compiled ??= Deno.readFile(KERNELS_URL).then((bytes) => WebAssembly.compile(bytes));
}
