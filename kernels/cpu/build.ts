/**
 * Builds the module of all kernels: a table of them, and `replay`, which runs the commands of a
 * recording one after another.
 *
 * @module
 */

import { CATALOG } from "./catalog.ts";
import { COMMAND, KERNEL_SIGNATURE, KernelBuilder, type SharedFunction } from "./kernel.ts";
import { i32, i64 } from "./wasm/expression.ts";
import type { Callee, FunctionBuilder, Local } from "./wasm/function.ts";
import { ModuleBuilder } from "./wasm/module.ts";

/** Layout of the barrier in memory, in bytes. */
export const BARRIER = {
  /** u32: threads that have arrived. */
  arrived: 0,
  /** u32: how often all have arrived; what the others wait for. */
  round: 4,
  bytes: 8,
} as const;

/** Turns of waiting before a thread sleeps: some ten microseconds, which is what waking costs. */
const SPINS = 10_000;

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
      f.while(i64.ltU(command, end), () => {
        f.callIndirect(kernelType, i32.load(command, COMMAND.kernel), command, scratch);
        meet(f, barrier, threads, () => {
          f.do(i32.store(command, 0, COMMAND.nextTask));
        });
        f.set(command, i64.add(command, i64.extendU(i32.load(command, COMMAND.length))));
      });
    },
  );
  module.export("replay", replay);
  return module.build();
}

/** Waits for all threads; the last to arrive runs `last` before any goes on. */
function meet(
  f: FunctionBuilder,
  barrier: Local<"i64">,
  threads: Local<"i32">,
  last: () => void,
): void {
  const roundAddress = i64.add(barrier, BARRIER.round);
  const round = f.let(i32.atomic.load(roundAddress));
  const arrived = f.let(i32.add(i32.atomic.add(barrier, 1), 1));
  f.if(i32.eq(arrived, threads), () => {
    last();
    f.do(i32.atomic.store(barrier, 0));
    f.do(i32.atomic.store(roundAddress, i32.add(round, 1)));
    f.if(i32.gtU(threads, 1), () => f.drop(i32.atomic.notify(roundAddress, -1)));
  }, () => {
    const spins = f.let(i32.const(SPINS));
    f.while(i32.eq(i32.atomic.load(roundAddress), round), () => {
      f.if(spins, () => f.set(spins, i32.sub(spins, 1)), () => {
        f.drop(i32.atomic.wait(roundAddress, round));
      });
    });
  });
}
