// deno-lint-ignore-file no-non-null-assertion -- the assertions before them say what is there
import assert from "node:assert/strict";
import { join } from "node:path";
import { writeTensorboard } from "./tensorboard.ts";
import { crc32c, maskedCrc32c } from "./tensorboard_checksum.ts";
import { encodeEventFile } from "./tensorboard_events.ts";
import type { TrainingHistory } from "./training_history.ts";

Deno.test("crc32c() gives the published check values", () => {
  assert.equal(crc32c(new TextEncoder().encode("123456789")), 0xe3069283);
  // RFC 3720, appendix B.4.
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, index) => index)), 0x46dd794e);
});

Deno.test("maskedCrc32c() masks as TensorFlow does", () => {
  // Every event file of TensorFlow starts with 18 00 00 00 00 00 00 00 a3 7f 4b 22.
  assert.equal(maskedCrc32c(Uint8Array.of(24, 0, 0, 0, 0, 0, 0, 0)), 0x224b7fa3);
});

Deno.test("encodeEventFile() can be read by the rules of TFRecord and protobuf", () => {
  const file = encodeEventFile(1000.5, [
    { wallTime: 1001, step: 1, scalars: { loss: 2.5, learning_rate: 1e-3 } },
    { wallTime: 1002, step: 300, scalars: { loss: NaN } },
    { wallTime: 1003, step: 2 ** 40, scalars: { loss: 1, evaluation_loss: -Infinity } },
  ]);
  assert.deepEqual(decodeFile(file), [
    { wallTime: 1000.5, step: 0, version: "brain.Event:2", scalars: {} },
    {
      wallTime: 1001,
      step: 1,
      version: null,
      scalars: { loss: 2.5, learning_rate: Math.fround(1e-3) },
    },
    { wallTime: 1002, step: 300, version: null, scalars: { loss: NaN } },
    {
      wallTime: 1003,
      step: 2 ** 40,
      version: null,
      scalars: { loss: 1, evaluation_loss: -Infinity },
    },
  ]);
});

Deno.test("a flipped bit anywhere in an event file breaks a checksum", () => {
  const file = encodeEventFile(1, [{ wallTime: 2, step: 1, scalars: { loss: 3 } }]);
  for (let index = 0; index < file.length; index++) {
    const damaged = file.slice();
    damaged[index]! ^= 1 << (index % 8);
    assert.throws(() => decodeFile(damaged), { name: "RangeError" }, `byte ${index}`);
  }
});

Deno.test("writeTensorboard() writes a folder for each stage, once", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const history = trained("tuned", "1a2b3c4d5e6f");
    await writeTensorboard(folder, [history, trained("other", "99999999ffff")]);
    const runs = [...Deno.readDirSync(join(folder, "tensorboard"))].map(({ name }) => name).sort();
    assert.deepEqual(runs, ["other-99999999", "tuned-1a2b3c4d"]);
    const run = join(folder, "tensorboard", "tuned-1a2b3c4d");
    const files = [...Deno.readDirSync(run)].map(({ name }) => name);
    assert.deepEqual(files, ["events.out.tfevents.1795308590.1a2b3c4d"]);
    const path = join(run, files[0]!);
    assert.deepEqual(decodeFile(await Deno.readFile(path)), [
      { wallTime: 1795308590, step: 0, version: "brain.Event:2", scalars: {} },
      {
        wallTime: 1795308595,
        step: 1,
        version: null,
        scalars: { loss: 2, learning_rate: 0.5, gradient_norm: 8 },
      },
      {
        wallTime: 1795308600,
        step: 2,
        version: null,
        scalars: { loss: 1, learning_rate: 0.25, gradient_norm: 4, evaluation_loss: 1.5 },
      },
    ]);
    await Deno.writeTextFile(path, "kept");
    await writeTensorboard(folder, [history]);
    assert.equal(await Deno.readTextFile(path), "kept");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** Two steps in the ten seconds before 2026-11-22T00:50:00Z. */
function trained(node: string, key: string): TrainingHistory {
  return {
    key,
    node,
    result: {
      created: "2026-11-22T00:50:00.000Z",
      seconds: 10,
      peakMemory: { host: 1, device: 1 },
      facts: {},
      device: null,
      equipoise: { version: "0", commit: null },
    },
    steps: [
      { step: 1, loss: 2, lr: 0.5, grad_norm: 8, tokens: 10 },
      { step: 2, loss: 1, lr: 0.25, grad_norm: 4, tokens: 10, evaluation_loss: 1.5 },
    ],
  };
}

interface DecodedEvent {
  wallTime: number;
  step: number;
  version: string | null;
  scalars: Record<string, number>;
}

/** An independent reader: bitwise checksums, and protobuf from its wire format. */
function decodeFile(file: Uint8Array): DecodedEvent[] {
  const events: DecodedEvent[] = [];
  for (let offset = 0; offset < file.length;) {
    const header = new DataView(file.buffer, file.byteOffset + offset, 12);
    const length = Number(header.getBigUint64(0, true));
    checkMasked(file.subarray(offset, offset + 8), header.getUint32(8, true));
    const bytes = file.subarray(offset + 12, offset + 12 + length);
    const footer = new DataView(file.buffer, file.byteOffset + offset + 12 + length, 4);
    checkMasked(bytes, footer.getUint32(0, true));
    events.push(decodeEvent(bytes));
    offset += length + 16;
  }
  return events;
}

/** Undoes the mask and divides bit by bit. */
function checkMasked(bytes: Uint8Array, masked: number): void {
  const rotated = (masked - 0xa282ead8) >>> 0;
  const stored = ((rotated >>> 17) | (rotated << 15)) >>> 0;
  let remainder = 0xffffffff;
  for (const byte of bytes) {
    for (let bit = 0; bit < 8; bit++) {
      const low = (remainder ^ (byte >>> bit)) & 1;
      remainder = (remainder >>> 1) ^ (low ? 0x82f63b78 : 0);
    }
  }
  if ((~remainder >>> 0) !== stored) throw new RangeError("Wrong checksum");
}

function decodeEvent(bytes: Uint8Array): DecodedEvent {
  const event: DecodedEvent = { wallTime: NaN, step: 0, version: null, scalars: {} };
  for (const [field, value] of fields(bytes)) {
    if (field === 1) event.wallTime = view(value as Uint8Array).getFloat64(0, true);
    else if (field === 2) event.step = value as number;
    else if (field === 3) event.version = new TextDecoder().decode(value as Uint8Array);
    else if (field === 5) {
      for (const [entry, message] of fields(value as Uint8Array)) {
        assert.equal(entry, 1);
        const parts = new Map(fields(message as Uint8Array));
        const tag = new TextDecoder().decode(parts.get(1) as Uint8Array);
        event.scalars[tag] = view(parts.get(2) as Uint8Array).getFloat32(0, true);
      }
    } else assert.fail(`unexpected field ${field}`);
  }
  return event;
}

/** Field numbers with their values: numbers for varints, bytes for everything else. */
function fields(bytes: Uint8Array): [number, number | Uint8Array][] {
  const found: [number, number | Uint8Array][] = [];
  let offset = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1;; scale *= 128) {
      const byte = bytes[offset++]!;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  const take = (count: number) => bytes.subarray(offset, offset += count);
  while (offset < bytes.length) {
    const tag = varint();
    const type = tag & 7;
    const value = type === 0 ? varint() : take(type === 1 ? 8 : type === 5 ? 4 : varint());
    found.push([tag >>> 3, value]);
  }
  return found;
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
