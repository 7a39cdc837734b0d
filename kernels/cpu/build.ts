/**
 * Builds the module of all kernels: a table of them, and `replay`, which runs the commands of a
 * recording one after another.
 *
 * @module
 */

import { meet } from "./barrier.ts";
import { BARRIER } from "./thread_queue.ts";
import { CATALOG } from "./catalog.ts";
import { COMMAND, KERNEL_SIGNATURE, KernelBuilder, type SharedFunction } from "./kernel.ts";
import { i32, i64 } from "./wasm/expression.ts";
import type { Callee } from "./wasm/function.ts";
import { ModuleBuilder } from "./wasm/module.ts";

/** The module in the binary format. Equal sources give equal bytes. */
export function buildKernels(): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder({ memory64: true });
  const shared = new Map<SharedFunction, Callee>();
  const resolve = (item: SharedFunction): Callee => {
    const known = shared.get(item) ?? module.function(item, (f) => item.build(f));
    shared.set(item, known);
    return known;
  };
  const kernels = CATALOG.map((kernel) =>
    module.add({ parameters: KERNEL_SIGNATURE }, () => {
      const f = new KernelBuilder(resolve);
      kernel.build(f, f.parameters(kernel.parameters));
      return f;
    })
  );
  module.table(kernels);
  const kernelType = module.indirectType(KERNEL_SIGNATURE);

  // replay(program, end, barrier, threads, scratch)
  const replay = module.function(
    { parameters: ["i64", "i64", "i64", "i32", "i64"] },
    (f) => {
      const command = f.parameter(0, "i64");
      const end = f.parameter(1, "i64");
      const barrier = f.parameter(2, "i64");
      const threads = f.parameter(3, "i32");
      const scratch = f.parameter(4, "i64");
      const isRunning = i32.eqz(i32.atomic.load(i64.add(barrier, BARRIER.stopped)));
      f.while(i32.and(i64.ltU(command, end), isRunning), () => {
        const next = f.let(i64.add(command, i64.extendU(i32.load(command, COMMAND.length))));
        f.callIndirect(kernelType, i32.load(command, COMMAND.kernel), command, scratch);
        // Behind the last meeting the host may reuse the commands while a thread is still waking up.
        meet(f, barrier, threads, () => {
          f.do(i32.store(command, 0, COMMAND.nextTask));
        });
        f.set(command, next);
      });
    },
  );
  module.export("replay", replay);
  return module.build();
}
