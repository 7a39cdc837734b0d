import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { UserError } from "../errors.ts";
import { SafetensorsFile, SafetensorsWriter } from "./safetensors.ts";

async function withFolder(use: (folder: string) => void): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("SafetensorsWriter writes the bytes the format says", () =>
  withFolder((folder) => {
    const path = join(folder, "x.safetensors");
    const writer = SafetensorsWriter.create(path, [
      { name: "b", dtype: "U8", shape: [3] },
      { name: "a", dtype: "BF16", shape: [2] },
      { name: "c", dtype: "U32", shape: [] },
    ], { note: "x" });
    writer.write("a", Float32Array.of(1, -2));
    writer.write("c", Uint32Array.of(0xdeadbeef));
    writer.write("b", Uint8Array.of(1, 2, 3));
    writer.finish();

    const bytes = Deno.readFileSync(path);
    const size = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    assert.equal((8 + size) % 8, 0, "data starts at a multiple of 8");
    assert.deepEqual(JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + size))), {
      __metadata__: { format: "pt", note: "x" },
      c: { dtype: "U32", shape: [], data_offsets: [0, 4] },
      a: { dtype: "BF16", shape: [2], data_offsets: [4, 8] },
      b: { dtype: "U8", shape: [3], data_offsets: [8, 11] },
    });
    assert.deepEqual(
      [...bytes.subarray(8 + size)],
      [0xef, 0xbe, 0xad, 0xde, 0x80, 0x3f, 0x00, 0xc0, 1, 2, 3],
    );
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["x.safetensors"]);
  }));

Deno.test("SafetensorsWriter round-trips any tensors in any order of writing", () =>
  withFolder((folder) => {
    const path = join(folder, "x.safetensors");
    const tensor = fc.record({
      name: fc.oneof(
        fc.string({ unit: "grapheme" }),
        fc.nat().map(String),
        fc.constant("__proto__"),
      ),
      dtype: fc.constantFrom("F32", "U32", "I32", "U8", "F64"),
      shape: fc.array(fc.nat({ max: 4 }), { maxLength: 3 }),
    }).filter(({ name }) => name !== "__metadata__");
    const tensors = fc.uniqueArray(tensor, { selector: ({ name }) => name });
    fc.assert(
      fc.property(tensors, fc.nat(), (declarations, fill) => {
        const bytesOf = new Map(declarations.map(({ name, dtype, shape }, i) => {
          const width = { F32: 4, U32: 4, I32: 4, U8: 1, F64: 8 }[dtype];
          const length = shape.reduce((product, size) => product * size, width);
          return [name, Uint8Array.from({ length }, (_, at) => fill + 31 * i + at)];
        }));
        const writer = SafetensorsWriter.create(path, declarations);
        for (const [name, bytes] of [...bytesOf].reverse()) writer.write(name, bytes);
        writer.finish();
        using file = SafetensorsFile.open(path);
        assert.equal(file.tensors.size, declarations.length);
        for (const { name, dtype, shape } of declarations) {
          assert.equal(file.tensors.get(name)?.dtype, dtype);
          assert.deepEqual(file.tensors.get(name)?.shape, shape);
          assert.deepEqual(file.readBytes(name), bytesOf.get(name));
        }
      }),
      { seed: 11, numRuns: 100 },
    );
  }));

Deno.test("SafetensorsWriter and SafetensorsFile convert tensors of more than one block", () =>
  withFolder((folder) => {
    const path = join(folder, "x.safetensors");
    const values = Float32Array.from({ length: (1 << 20) + 5 }, (_, i) => (i % 509) / 2);
    for (const dtype of ["F16", "BF16"] as const) {
      const writer = SafetensorsWriter.create(path, [{ name: "x", dtype, shape: [values.length] }]);
      writer.write("x", values);
      writer.finish();
      using file = SafetensorsFile.open(path);
      const read = file.readFloats("x");
      const step = dtype === "F16" ? 0.5 : 1; // values to 254 in 8 bits of precision
      const wrong = read.findIndex((value, i) => Math.abs(value - (values[i] ?? NaN)) > step / 2);
      assert.equal(wrong, -1);
      assert.deepEqual(file.readRows("x", (1 << 20) - 2, 7), read.slice((1 << 20) - 2));
    }
  }));

Deno.test("SafetensorsWriter refuses what does not fit and leaves nothing behind", () =>
  withFolder((folder) => {
    const path = join(folder, "x.safetensors");
    const F32 = { name: "a", dtype: "F32", shape: [2] } as const;
    {
      using writer = SafetensorsWriter.create(path, [F32, { ...F32, name: "b" }]);
      assert.throws(() => writer.write("a", Float32Array.of(1)), /"a".*1 elements.*F32 \[2\]/);
      assert.throws(() => writer.write("a", Uint32Array.of(1, 2)), /Uint32Array/);
      assert.throws(() => writer.write("z", Float32Array.of(1)), /not declared/);
      writer.write("a", Float32Array.of(1, 2));
      assert.throws(() => writer.write("a", Float32Array.of(1, 2)), /already written/);
      assert.throws(() => writer.finish(), /tensor "b" was not written/);
    }
    {
      using _unfinished = SafetensorsWriter.create(path, [F32]);
    }
    assert.throws(() => SafetensorsWriter.create(path, [F32, F32]), UserError);
    assert.throws(
      () => SafetensorsWriter.create(path, [{ ...F32, shape: [1.5] }]),
      /shape \[1.5\]/,
    );
    assert.deepEqual([...Deno.readDirSync(folder)], []);
    assert.throws(
      () => SafetensorsWriter.create(join(folder, "none", "x"), [F32]),
      (error) => error instanceof UserError && /Cannot write .*none/.test(error.message),
    );
  }));
