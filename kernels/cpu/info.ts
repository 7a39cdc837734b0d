/**
 * What the CPU device is on this machine, told without starting its threads.
 *
 * @module
 */

import type { DeviceInfo } from "../device.ts";
import { MAX_MEMORY_BYTES } from "./memory.ts";
import { f32x4, i64, v128 } from "./wasm/expression.ts";
import { ModuleBuilder } from "./wasm/module.ts";

/** Options of {@linkcode openCpu}. */
export interface CpuOptions {
  /** Threads; default: the processors that this process may use. */
  readonly threads?: number;
  /** Most bytes of memory; default and at most 16 GiB. */
  readonly memoryBytes?: number;
}

/**
 * Name, class and limits of the device that the same options open.
 *
 * Whether a multiplication and an addition round once or twice is the machine's choice in relaxed
 * SIMD; results differ in the last bits, so that it belongs to the class, and so does the processor's
 * architecture. Threads and the width of vectors do not change results.
 */
export function cpuInfo(options: CpuOptions = {}): DeviceInfo {
  const { threads = navigator.hardwareConcurrency, memoryBytes = MAX_MEMORY_BYTES } = options;
  const rounding = fusesMultiplyAdd() ? "fused multiply-add" : "separate multiply and add";
  return {
    name: "cpu",
    class: `cpu; wasm; ${Deno.build.arch}; ${rounding}`,
    description: `WebAssembly SIMD, ${threads} ${threads === 1 ? "thread" : "threads"}`,
    maxTensorBytes: memoryBytes,
  };
}

let fuses: boolean | undefined;

/** Whether `f32x4.relaxed_madd` rounds once on this machine. */
export function fusesMultiplyAdd(): boolean {
  return fuses ??= tryMultiplyAdd();
}

/**
 * `a * a - c` with `a = 1 + 2^-12` and `c = 1 + 2^-11`: 2^-24 if the product keeps all its bits, 0 if
 * it is rounded first.
 */
function tryMultiplyAdd(): boolean {
  const module = new ModuleBuilder({ memory64: true });
  const multiplyAdd = module.function({ parameters: [] }, (f) => {
    const a = f.let(v128.load32Splat(i64.const(0)));
    const c = f.let(v128.load32Splat(i64.const(4)));
    f.do(v128.store(i64.const(16), f32x4.relaxedMadd(a, a, c)));
  });
  module.export("multiplyAdd", multiplyAdd);
  const descriptor = { address: "i64", initial: 1n, maximum: 1n, shared: true };
  const memory = new WebAssembly.Memory(descriptor as unknown as WebAssembly.MemoryDescriptor);
  const values = new Float32Array(memory.buffer);
  values.set([1 + 2 ** -12, -(1 + 2 ** -11)]);
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.build()), {
    host: { memory },
  });
  (instance.exports["multiplyAdd"] as () => void)();
  return values[4] !== 0;
}
