import assert from "node:assert/strict";
import { f32, f32x4, i32, select, v128 } from "./expression.ts";
import type { FunctionBuilder } from "./function.ts";
import { ModuleBuilder } from "./module.ts";

/** Runs one function of a pointer over the first words of a memory. */
function run(words: Uint32Array, build: (f: FunctionBuilder) => void): Uint32Array {
  const builder = new ModuleBuilder({ memory64: false });
  builder.export("main", builder.function({ parameters: ["i32"] }, build));
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const contents = new Uint32Array(memory.buffer, 0, 64);
  contents.set(words);
  const module = new WebAssembly.Module(builder.build());
  const { exports } = new WebAssembly.Instance(module, { host: { memory } });
  (exports.main as (pointer: number) => void)(0);
  return contents.slice();
}

function floats(...values: number[]): Uint32Array {
  return new Uint32Array(Float32Array.from(values).buffer);
}

Deno.test("loops, branches and locals compute what they say", () => {
  // The sum of the odd numbers below 100, by a loop, and a countdown by a while.
  const words = run(new Uint32Array(4), (f) => {
    const pointer = f.parameter(0, "i32");
    const sum = f.local("i32");
    f.for(0, 100, 1, (i) => f.if(i32.and(i, 1), () => f.set(sum, i32.add(sum, i))));
    f.do(i32.store(pointer, sum));
    const rest = f.let(i32.const(5));
    f.while(rest, () => {
      f.do(i32.store(pointer, i32.add(i32.load(pointer, 4), rest), 4));
      f.set(rest, i32.sub(rest, 1));
    });
    f.do(i32.store(pointer, select(i32.const(7), i32.const(9), i32.ltS(-1, 0)), 8));
    f.do(i32.store(pointer, i32.minU(-1, 3), 12));
  });
  assert.deepEqual([...words.slice(0, 4)], [2500, 15, 7, 3]);
});

Deno.test("a loop that has nothing to do does nothing, also above 2^31", () => {
  const words = run(new Uint32Array(2), (f) => {
    const pointer = f.parameter(0, "i32");
    f.for(5, 5, 1, () => f.do(i32.store(pointer, 1)));
    f.for(0x7fffffff, 0x80000001, 1, () => {
      f.do(i32.store(pointer, i32.add(i32.load(pointer, 4), 1), 4));
    });
  });
  assert.deepEqual([...words.slice(0, 2)], [0, 2]);
});

Deno.test("vectors: arithmetic in lanes, stores of single lanes", () => {
  const words = run(floats(1, -2, 3, -4), (f) => {
    const pointer = f.parameter(0, "i32");
    const x = f.let(v128.load(pointer));
    const squares = f.let(f32x4.relaxedMadd(x, x, f32x4.splat(0.5)));
    f.do(v128.store(pointer, squares, 16));
    f.do(v128.store32Lane(pointer, squares, 2, 32));
    f.do(f32.store(pointer, f32x4.extract(f32x4.abs(x), 3), 36));
  });
  assert.deepEqual([...words.slice(4, 10)], [...floats(1.5, 4.5, 9.5, 16.5, 9.5, 4)]);
});

Deno.test("calls with wrong operands are refused when they are written", () => {
  const builder = new ModuleBuilder({ memory64: false });
  const callee = builder.function({ parameters: ["i32", "f32"] }, () => {});
  builder.function({ parameters: [] }, (f) => {
    assert.throws(() => f.call(callee, f32.const(1), f32.const(1)), /takes \(i32, f32\)/);
  });
});
