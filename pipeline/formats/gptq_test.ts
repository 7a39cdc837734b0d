import assert from "node:assert/strict";
import fc from "fast-check";
import { packCodes } from "../../kernels/packing.ts";
import { RandomStream } from "../../kernels/random.ts";
import { testUnless } from "../../tests/support/optional.ts";
import { findPython } from "../environment/oracles.ts";
import {
  damagedZeroWords,
  fromGptq,
  GPTQ_BITS,
  type GptqBits,
  groupOrder,
  packStream,
  toGptq,
  unpackStream,
} from "./gptq.ts";
import { gptqConfigJson, parseGptqConfig } from "./gptq_config.ts";
import type { HostIntegerWeight, HostOrderedWeight } from "./host_weight.ts";

function randomCodes(bits: GptqBits, count: number, seed: number): Uint8Array {
  const random = new RandomStream(seed, "codes");
  return Uint8Array.from(
    { length: count },
    (_, index) => Math.floor(random.uniform(index) * 2 ** bits),
  );
}

const hex = (words: Iterable<number>) => [...words].map((word) => word.toString(16));

Deno.test("property: streams come back, at every width", () => {
  fc.assert(
    fc.property(fc.constantFrom(...GPTQ_BITS), fc.integer({ min: 1, max: 5 }), fc.nat(), (
      bits,
      chunks,
      seed,
    ) => {
      const values = randomCodes(bits, 32 * chunks, seed);
      const words = packStream(values, bits);
      assert.equal(words.length, chunks * bits);
      assert.deepEqual(unpackStream(words, bits, values.length), values);
    }),
    { seed: 5, numRuns: 60 },
  );
});

Deno.test("three 3-bit words are 10 values, one split, 10, one split, 10 (AutoGPTQ's pattern)", () => {
  const values = randomCodes(3, 32, 1);
  const at = (index: number) => values[index] as number;
  let [first, second, third] = [at(10) << 30, at(10) >>> 2 | at(21) << 31, at(21) >>> 1];
  for (let index = 0; index < 10; index++) {
    first |= at(index) << 3 * index;
    second |= at(11 + index) << 3 * index + 1;
    third |= at(22 + index) << 3 * index + 2;
  }
  assert.deepEqual([...packStream(values, 3)], [first >>> 0, second >>> 0, third >>> 0]);
});

/** Of 32 outputs in `groups` groups with one zero point for all. */
function constantZeros(bits: GptqBits, zero: number, format: "gptq" | "gptq_v2"): Uint32Array {
  const weight: HostIntegerWeight = {
    format: "integer",
    rows: 32,
    columns: 32,
    bits,
    blockRows: 1,
    blockColumns: 32,
    codes: packCodes(new Uint8Array(1024), bits, 32, 32),
    scales: new Float32Array(32).fill(1),
    zeros: new Float32Array(32).fill(zero),
  };
  return toGptq(weight, format, "layer").qzeros;
}

Deno.test("zero points of symmetric checkpoints are the constants that the field knows", () => {
  const words = (bits: GptqBits, format: "gptq" | "gptq_v2") =>
    hex(new Set(constantZeros(bits, 2 ** (bits - 1), format)));
  assert.deepEqual(words(2, "gptq"), ["55555555"]);
  assert.deepEqual(words(4, "gptq"), ["77777777"]);
  assert.deepEqual(words(8, "gptq"), ["7f7f7f7f"]);
  assert.deepEqual(words(3, "gptq"), ["db6db6db", "b6db6db6", "6db6db6d"]);
  assert.deepEqual(words(2, "gptq_v2"), ["aaaaaaaa"]);
  assert.deepEqual(words(4, "gptq_v2"), ["88888888"]);
  assert.deepEqual(words(8, "gptq_v2"), ["80808080"]);
  assert.deepEqual(words(3, "gptq_v2"), ["24924924", "49249249", "92492492"]);
});

Deno.test("every zero point comes back from version 1; unmasked old words are noticed", () => {
  for (const bits of GPTQ_BITS) {
    for (let zero = 0; zero < 2 ** bits; zero++) {
      const qzeros = constantZeros(bits, zero, "gptq");
      const { zeros } = fromGptq(
        {
          qweight: new Uint32Array(32 * bits),
          qzeros,
          scales: new Float32Array(32).fill(1),
          groups: new Int32Array(32),
        },
        { rows: 32, columns: 32, bits, groupSize: 32, format: "gptq" },
        "layer",
      );
      assert.deepEqual(zeros, new Float32Array(32).fill(zero), `${bits} bits, zero ${zero}`);
    }
  }
  // The old packer: fields less one, shifted and or-ed as they are, so that -1 floods the word.
  const flooded = [5, 0, 7, 8, 3, 2, 1, 9]
    .reduce((word, zero, field) => word | zero - 1 << 4 * field, 0) >>> 0;
  assert.equal(flooded.toString(16), "fffffff4");
  assert.equal(damagedZeroWords(Uint32Array.of(flooded, 0x77777777, 0xf0f4f6f7)), 1);
});

Deno.test("the order of scattered groups, and groups that are none", () => {
  assert.equal(groupOrder(Int32Array.of(0, 0, 1, 1), 2, "layer"), null);
  assert.deepEqual(groupOrder(Int32Array.of(1, 0, 1, 0), 2, "layer"), Uint32Array.of(1, 3, 0, 2));
  for (const groups of [[0, 0, 0, 1], [0, 0, 1, 2], [0, 0, -1, 1]]) {
    assert.throws(() => groupOrder(Int32Array.from(groups), 2, "layer"), /layer\.g_idx puts input/);
  }
});

Deno.test("property: a weight comes back from its tensors, ordered or not", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...GPTQ_BITS),
      fc.constantFrom("gptq" as const, "gptq_v2" as const),
      fc.boolean(),
      fc.constantFrom([32, 64, 16], [64, 96, 96], [32, 32, 8]),
      fc.nat(),
      (bits, format, isOrdered, [rows = 0, columns = 0, group = 0], seed) => {
        const random = new RandomStream(seed, "weight");
        const groups = rows * columns / group;
        const integer = {
          rows,
          columns,
          bits,
          blockRows: 1,
          blockColumns: group,
          codes: packCodes(randomCodes(bits, rows * columns, seed), bits, rows, columns),
          scales: Float32Array.from(
            { length: groups },
            (_, index) => 0.001 + random.uniform(index),
          ),
          zeros: Float32Array.from(randomCodes(bits, groups, seed + 1)),
        };
        const reverse = Uint32Array.from({ length: columns }, (_, index) => columns - 1 - index);
        // Inputs of a group are in ascending order wherever a group is read.
        for (let start = 0; start < columns; start += group) {
          reverse.subarray(start, start + group).sort();
        }
        const weight: HostIntegerWeight | HostOrderedWeight = isOrdered && group < columns
          ? { format: "ordered", ...integer, order: reverse }
          : { format: "integer", ...integer };
        const shape = { rows, columns, bits, groupSize: group, format };
        assert.deepEqual(fromGptq(toGptq(weight, format, "layer"), shape, "layer"), weight);
      },
    ),
    { seed: 6, numRuns: 60 },
  );
});

Deno.test("what the format cannot hold is refused", () => {
  const weight: HostIntegerWeight = {
    format: "integer",
    rows: 32,
    columns: 32,
    bits: 4,
    blockRows: 1,
    blockColumns: 32,
    codes: new Uint32Array(32 * 4),
    scales: new Float32Array(32).fill(1),
    zeros: new Float32Array(32).fill(8),
  };
  const refused = (change: Partial<HostIntegerWeight>, message: RegExp) =>
    assert.throws(() => toGptq({ ...weight, ...change }, "gptq", "layer"), message);
  refused({ bits: 1 }, /codes have 1 bits; wanted one of 2, 3, 4, 8/);
  refused({ blockRows: 2 }, /2 outputs share a scale; quantize with block_rows: 1/);
  refused({ rows: 12 }, /do not fill whole words/);
  refused(
    { zeros: new Float32Array(32).fill(7.5) },
    /a zero point is 7\.5, .* need .* float zeros/,
  );
  refused({ zeros: new Float32Array(32).fill(16) }, /a zero point is 16/);
  refused({ scales: new Float32Array(32).fill(1e-6) }, /beyond what f16 holds/);
  refused({ scales: new Float32Array(32).fill(1e5) }, /beyond what f16 holds/);
});

const NUMPY = `
import json, sys, numpy as np
request = json.load(sys.stdin)
def pack(values, bits):
    fields = (np.array(values)[..., None] >> np.arange(bits)) & 1
    rows = fields.reshape(len(values), -1).astype(np.uint8)
    return np.packbits(rows, axis=1, bitorder="little").view("<u4")
codes, zeros = np.array(request["codes"]), np.array(request["zeros"])
print(json.dumps({
    "qweight": pack(codes, request["bits"]).T.ravel().tolist(),
    "qzeros": pack((zeros.T - 1) % 2 ** request["bits"], request["bits"]).ravel().tolist(),
}))
`;

const python = await findPython(["numpy"]);
const missing = python === null ? "no Python with NumPy" : null;

testUnless(missing, "words are those that NumPy packs bit by bit", async () => {
  for (const bits of GPTQ_BITS) {
    const [rows, columns, group] = [32, 64, 16];
    const groups = columns / group;
    const codes = randomCodes(bits, rows * columns, 8);
    const zeros = randomCodes(bits, rows * groups, 9);
    const table = (values: Uint8Array, width: number) =>
      Array.from(
        { length: values.length / width },
        (_, row) => [...values.subarray(row * width, (row + 1) * width)],
      );
    const child = new Deno.Command(python ?? "", {
      args: ["-c", NUMPY],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const request = { bits, codes: table(codes, columns), zeros: table(zeros, groups) };
    await new Blob([JSON.stringify(request)]).stream().pipeTo(child.stdin);
    const { stdout } = await child.output();
    const expected = JSON.parse(new TextDecoder().decode(stdout));
    const { qweight, qzeros } = toGptq(
      {
        format: "integer",
        rows,
        columns,
        bits,
        blockRows: 1,
        blockColumns: group,
        codes: packCodes(codes, bits, rows, columns),
        scales: new Float32Array(rows * groups).fill(1),
        zeros: Float32Array.from(zeros),
      },
      "gptq",
      "layer",
    );
    assert.deepEqual([...qweight], expected.qweight);
    assert.deepEqual([...qzeros], expected.qzeros);
  }
});

Deno.test("a configuration comes back; what it may not say is refused by its field", () => {
  const config = {
    bits: 3,
    groupSize: null,
    symmetric: false,
    ordered: true,
    format: "gptq_v2",
  } as const;
  assert.deepEqual(parseGptqConfig(gptqConfigJson(config, "test:1"), "file"), config);
  const json = { bits: 4, group_size: 128, quant_method: "gptq" };
  assert.deepEqual(parseGptqConfig(json, "file"), {
    bits: 4,
    groupSize: 128,
    symmetric: true,
    ordered: false,
    format: "gptq",
  });
  assert.equal(parseGptqConfig({ ...json, format: "gptq_v2" }, "file").format, "gptq_v2");
  const refused: [object, RegExp][] = [
    [{ bits: 5 }, /^UserError: file: bits is 5, and this version reads codes of 2, 3, 4, 8 bits/],
    [{ checkpoint_format: "marlin" }, /checkpoint_format is "marlin", .* "gptq" and "gptq_v2"/],
    [{ is_marlin_format: true }, /is_marlin_format is true/],
    [{ pack_dtype: "int16" }, /pack_dtype is "int16"/],
    [{ lm_head: true }, /lm_head is true, and this version reads checkpoints whose head is not/],
    [{ dynamic: { "-:.*down.*": {}, "+:.*up.*": { bits: 8 } } }, /"-:\.\*down\.\*" and 1 more/],
    [{ group_size: 0 }, /malformed/],
  ];
  for (const [change, message] of refused) {
    assert.throws(() => parseGptqConfig({ ...json, ...change }, "file"), message);
  }
  assert.equal(parseGptqConfig({ ...json, dynamic: {} }, "file").bits, 4);
});
