import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { UserError } from "../errors.ts";
import { SafetensorsFile } from "./safetensors.ts";

/** A file assembled by the letter of the format, independently of the writer. */
function assemble(header: unknown, data: Uint8Array): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(
    typeof header === "string" ? header : JSON.stringify(header),
  );
  const bytes = new Uint8Array(8 + text.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  bytes.set(data, 8 + text.length);
  return bytes;
}

function withFile(bytes: Uint8Array, use: (path: string) => void): void {
  const folder = Deno.makeTempDirSync();
  try {
    const path = join(folder, "x.safetensors");
    Deno.writeFileSync(path, bytes);
    use(path);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

function refuses(bytes: Uint8Array, message: RegExp): void {
  withFile(bytes, (path) => {
    assert.throws(() => SafetensorsFile.open(path), (error) => {
      assert.ok(error instanceof UserError, String(error));
      assert.match(error.message, message);
      assert.ok(error.message.includes(path), "names the file");
      return true;
    });
  });
}

const F32_PAIR = { dtype: "F32", shape: [2], data_offsets: [0, 8] };

Deno.test("SafetensorsFile reads what the format says", () => {
  const data = new Uint8Array([
    ...new Uint8Array(Float64Array.of(1.5, -2).buffer),
    ...new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6).buffer),
    ...[0x00, 0x3c, 0x00, 0xc0], // F16 1, -2
    ...[0x80, 0x3f, 0x00, 0xc0], // BF16 1, -2
    7,
  ]);
  const header = {
    __metadata__: { format: "pt", note: "unaligned on purpose" },
    halves: { dtype: "F16", shape: [2], data_offsets: [40, 44] },
    doubles: { dtype: "F64", shape: [2], data_offsets: [0, 16] },
    matrix: { dtype: "F32", shape: [3, 2], data_offsets: [16, 40] },
    brain: { dtype: "BF16", shape: [1, 2], data_offsets: [44, 48] },
    byte: { dtype: "U8", shape: [], data_offsets: [48, 49] },
    nothing: { dtype: "F32", shape: [0, 4], data_offsets: [48, 48] },
  };
  withFile(assemble(header, data), (path) => {
    using file = SafetensorsFile.open(path);
    assert.equal(file.metadata.note, "unaligned on purpose");
    assert.deepEqual([...file.tensors.keys()].slice(0, 2), ["halves", "doubles"]);
    assert.deepEqual([...file.readFloats("doubles")], [1.5, -2]);
    assert.deepEqual([...file.readFloats("matrix")], [1, 2, 3, 4, 5, 6]);
    assert.deepEqual([...file.readFloats("halves")], [1, -2]);
    assert.deepEqual([...file.readFloats("brain")], [1, -2]);
    assert.deepEqual([...file.readFloats("nothing")], []);
    assert.deepEqual([...file.readBytes("byte")], [7]);
    assert.deepEqual([...file.readRows("matrix", 1, 2)], [3, 4, 5, 6]);
    assert.deepEqual([...file.readRows("matrix", 3, 0)], []);
    assert.throws(() => file.readRows("matrix", 2, 2), RangeError);
    assert.throws(() => file.readFloats("byte"), /tensor "byte" is U8; wanted one of F32/);
    assert.throws(() => file.readFloats("lost"), /no tensor "lost" among its 6 tensors/);
  });
});

Deno.test("SafetensorsFile.open() refuses a missing file and a folder", () => {
  assert.throws(() => SafetensorsFile.open("/nowhere/x.safetensors"), /no such file/);
});

Deno.test("SafetensorsFile.open() refuses every truncation of a valid file", () => {
  const bytes = assemble({ a: F32_PAIR }, new Uint8Array(8));
  withFile(bytes, (path) => SafetensorsFile.open(path).close());
  for (let length = 0; length < bytes.length; length++) {
    refuses(bytes.subarray(0, length), /truncated/);
  }
  refuses(new Uint8Array([...bytes, 0]), /longer than it says/);
});

Deno.test("SafetensorsFile.open() refuses headers that lie", () => {
  const eight = new Uint8Array(8);
  const cases: [unknown, RegExp][] = [
    ["[1]", /must be a JSON object/],
    ["{", /not JSON/],
    [{ a: 1 }, /tensor "a" must be an object/],
    [{ a: { ...F32_PAIR, dtype: "F31" } }, /tensor "a" has dtype "F31"; supported are F64/],
    [{ a: { ...F32_PAIR, dtype: "toString" } }, /tensor "a" has dtype "toString"/],
    [{ a: { ...F32_PAIR, shape: [-2] } }, /tensor "a" has shape \[-2\]/],
    [{ a: { ...F32_PAIR, shape: 2 } }, /tensor "a" has shape 2/],
    [{ a: { ...F32_PAIR, shape: [0, 2 ** 53] } }, /tensor "a" has shape/],
    [{ a: { ...F32_PAIR, shape: [2 ** 30, 2 ** 30] } }, /exact number of bytes/],
    [{ a: { ...F32_PAIR, shape: [3] } }, /hold 8 bytes, but F32 \[3\] takes 12/],
    [{ a: { ...F32_PAIR, data_offsets: [8, 0] } }, /hold -8 bytes/],
    [{ a: { ...F32_PAIR, data_offsets: [0.5, 8.5] } }, /wanted two non-negative integers/],
    [{ a: { ...F32_PAIR, data_offsets: [4, 12] } }, /starts at data byte 4.*no hole/],
    [{ a: F32_PAIR, b: F32_PAIR }, /"b" starts at data byte 0.*end at 8.*no overlap/],
    [{ a: F32_PAIR, b: { ...F32_PAIR, data_offsets: [8, 16] } }, /16 bytes.* but 8 follow/],
    [{ __metadata__: { a: 1 }, a: F32_PAIR }, /"__metadata__" must be an object of strings/],
    [`{"a": ${JSON.stringify(F32_PAIR)}, "\\u0061": ${JSON.stringify(F32_PAIR)}}`, /"a" occurs tw/],
    ['{"a": {"dtype":"F64","dtype":"F32","shape":[2],"data_offsets":[0,8]}}', /"dtype" occurs tw/],
  ];
  for (const [header, message] of cases) refuses(assemble(header, eight), message);
  const notUtf8 = assemble("{    }", new Uint8Array(0));
  notUtf8[10] = 0xff;
  refuses(notUtf8, /not UTF-8/);
  const huge = new Uint8Array(16);
  new DataView(huge.buffer).setBigUint64(0, 2n ** 63n, true);
  refuses(huge, /announce a header of 9223372036854775808 bytes/);
});

Deno.test("SafetensorsFile.open() accepts braces, colons and quotes in names", () => {
  const names = ['"', "\\", '":{', "}", "__proto__", "dtype", "é\u2028"];
  fc.assert(
    fc.property(fc.shuffledSubarray(names), (chosen) => {
      const entries = chosen.map((name, i) =>
        [name, { ...F32_PAIR, data_offsets: [8 * i, 8 * i + 8] }] as const
      );
      const bytes = assemble(Object.fromEntries(entries), new Uint8Array(8 * chosen.length));
      withFile(bytes, (path) => {
        using file = SafetensorsFile.open(path);
        assert.deepEqual(new Set(file.tensors.keys()), new Set(chosen));
      });
    }),
    { seed: 3, numRuns: 50 },
  );
});
