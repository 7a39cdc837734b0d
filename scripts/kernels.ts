/**
 * `deno task kernels`: writes the WebAssembly module of the CPU device from its sources.
 *
 * @module
 */

import { buildKernels } from "../kernels/cpu/build.ts";
import { KERNELS_URL } from "../kernels/cpu/compile.ts";

const bytes = buildKernels();
await Deno.writeFile(KERNELS_URL, bytes);
console.log(`kernels/cpu/kernels.wasm: ${bytes.length} bytes`);
