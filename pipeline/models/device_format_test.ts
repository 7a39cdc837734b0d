import assert from "node:assert/strict";
import { packCodes, unpackCodes } from "../../kernels/packing.ts";
import { RandomStream } from "../../kernels/random.ts";
import { ReferenceDevice } from "../../kernels/reference/device.ts";
import { UserError } from "../errors.ts";
import type { HostBinaryWeight } from "../formats/binary_weight.ts";
import {
  dequantizeHost,
  type HostOrderedWeight,
  type HostWeight,
  weightBytes,
} from "../formats/host_weight.ts";
import { openTensors } from "../formats/hugging_face.ts";
import { type HostMixedWeight, type MixedBits, packMixedCodes } from "../formats/mixed_weight.ts";
import { SafetensorsWriter } from "../formats/safetensors.ts";
import { upload } from "./device_weight.ts";
import { formatBytes, moduleFormat, weightOutlines, weightTensors } from "./quantized_tensors.ts";
import { readWeight } from "./weight_reader.ts";

const [ROWS, COLUMNS, GROUP] = [6, 64, 16];
const random = new RandomStream(1, "device format test");
const SHAPE = { path: "layer", rows: ROWS, columns: COLUMNS };

function mixed(bits: MixedBits): HostMixedWeight {
  const widths = Uint8Array.of(bits + 1, bits, bits - 1, bits);
  const codes = Uint8Array.from({ length: ROWS * COLUMNS }, (_, index) => {
    const width = widths[Math.floor(index % COLUMNS / GROUP)] as number;
    return Math.floor(2 ** width * random.uniform(index));
  });
  return {
    format: "mixed",
    rows: ROWS,
    columns: COLUMNS,
    bits,
    blockRows: 1,
    blockColumns: GROUP,
    widths,
    codes: packMixedCodes(codes, widths, ROWS, GROUP),
    scales: Float32Array.from({ length: ROWS * 4 }, (_, index) => 0.01 * random.uniform(index)),
    zeros: Float32Array.from({ length: ROWS * 4 }, (_, index) => 4 * random.uniform(50 + index)),
  };
}

function binary(withMeans: boolean, blockColumns = GROUP): HostBinaryWeight {
  const blocks = ROWS * COLUMNS / blockColumns;
  const codes = Uint8Array.from(
    { length: ROWS * COLUMNS },
    (_, index) => Math.floor(4 * random.uniform(index)),
  );
  const halves = (count: number) =>
    Float16Array.from({ length: count }, (_, index) => random.normal(700 + index));
  return {
    format: "binary",
    rows: ROWS,
    columns: COLUMNS,
    blockColumns,
    codes: packCodes(codes, 2, ROWS, COLUMNS),
    salient: Uint8Array.from({ length: COLUMNS / 8 }, (_, index) => 37 * index & 0xff),
    scales: halves(4 * blocks),
    means: withMeans ? halves(3 * blocks) : null,
  };
}

function ordered(): HostOrderedWeight {
  const codes = Uint8Array.from(
    { length: ROWS * COLUMNS },
    (_, index) => Math.floor(8 * random.uniform(index)),
  );
  return {
    format: "ordered",
    rows: ROWS,
    columns: COLUMNS,
    bits: 3,
    blockRows: 2,
    blockColumns: GROUP,
    codes: packCodes(codes, 3, ROWS, COLUMNS),
    scales: Float32Array.from({ length: ROWS * 2 }, (_, index) => 0.01 * random.uniform(index)),
    zeros: Float32Array.from({ length: ROWS * 2 }, (_, index) => 4 * random.uniform(50 + index)),
    order: random.permutation(COLUMNS),
  };
}

/** What a device has of each, in bits per code. */
const CASES: readonly [name: string, weight: HostWeight, format: string, bits: number][] = [
  ["mixed, 2 bits", mixed(2), "integer", 3],
  ["mixed, 3 bits", mixed(3), "integer", 4],
  ["mixed, 4 bits", mixed(4), "integer", 8],
  ["ordered", ordered(), "dense", 32],
  ["binary in blocks of 16", binary(false), "dense", 32],
  ["binary in blocks of 32", binary(false, 32), "codebook", 3],
  ["binary with means", binary(true, 32), "codebook", 3],
];

for (const [name, host, format, bits] of CASES) {
  Deno.test(`a device holds the same matrix: ${name}`, async () => {
    const device = new ReferenceDevice();
    const weight = upload(device, host, "layer");
    assert.equal(weight.format, format);
    const codes = weight.format === "dense" ? weight.values : weight.codes;
    assert.equal(32 * codes.size / (ROWS * COLUMNS), bits);
    const output = device.tensor("f32", [ROWS, COLUMNS], "output");
    device.run(device.record("read", (operations) => operations.dequantize({ weight, output })));
    const actual = await device.readFloats(output);
    // One rounding to f32 on the host, none on the reference device; values are below 16.
    dequantizeHost(host).forEach((value, index) => {
      assert(Math.abs(value - (actual[index] as number)) <= 2 ** -21);
    });
    device.close();
  });

  Deno.test(`a folder gives back the same arrays, in the bytes that were counted: ${name}`, () => {
    const folder = Deno.makeTempDirSync();
    try {
      const format = moduleFormat(host);
      const outlines = weightOutlines(SHAPE, format);
      using writer = SafetensorsWriter.create(`${folder}/model.safetensors`, outlines);
      for (const { name, values } of weightTensors("layer", host)) writer.write(name, values);
      writer.finish();
      using tensors = openTensors(folder);
      assert.deepEqual(readWeight(tensors, SHAPE, format), host);
      const file = Deno.readFileSync(`${folder}/model.safetensors`);
      const header = Number(new DataView(file.buffer).getBigUint64(0, true));
      assert.equal(weightBytes(host), file.length - 8 - header);
      assert.equal(formatBytes(format, ROWS, COLUMNS), weightBytes(host));
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  });
}

Deno.test("ordered codes: column c of codes is input order[c], in groups of consecutive codes", () => {
  const weight = ordered();
  const codes = unpackCodes(weight.codes, 3, ROWS, COLUMNS);
  const values = dequantizeHost(weight);
  for (let row = 0; row < ROWS; row++) {
    weight.order.forEach((input, column) => {
      const block = Math.floor(row / 2) * (COLUMNS / GROUP) + Math.floor(column / GROUP);
      const [scale, zero] = [weight.scales[block] as number, weight.zeros[block] as number];
      const code = codes[row * COLUMNS + column] as number;
      assert.equal(values[row * COLUMNS + input], Math.fround(scale * (code - zero)));
    });
  }
});

const DAMAGED: readonly [string, HostWeight, RegExp][] = [
  [
    "widths that do not belong to config.json",
    { ...mixed(2), widths: Uint8Array.of(3, 3, 1, 2) },
    /"layer.widths" is \[3, 3, 1, 2\]/,
  ],
  [
    "an order that has an input twice",
    { ...ordered(), order: ordered().order.with(3, ordered().order[4] as number) },
    /"layer.order" is no permutation of 64 inputs/,
  ],
  [
    "an order that goes beyond the inputs",
    { ...ordered(), order: ordered().order.with(3, 64) },
    /"layer.order" is no permutation of 64 inputs/,
  ],
];

for (const [what, host, message] of DAMAGED) {
  Deno.test(`refused: ${what}`, () => {
    const folder = Deno.makeTempDirSync();
    try {
      const format = moduleFormat(host);
      using writer = SafetensorsWriter.create(
        `${folder}/model.safetensors`,
        weightOutlines(SHAPE, format),
      );
      for (const { name, values } of weightTensors("layer", host)) writer.write(name, values);
      writer.finish();
      using tensors = openTensors(folder);
      assert.throws(
        () => readWeight(tensors, SHAPE, format),
        (error) => error instanceof UserError && message.test(error.message),
      );
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  });
}
