import assert from "node:assert/strict";
import fc from "fast-check";
import { DeviceError } from "../device.ts";
import { LinearMemory, type Range } from "./memory.ts";

Deno.test("ranges that live never overlap, and cleared ones are zero", () => {
  const actions = fc.array(
    fc.oneof(
      fc.record({ bytes: fc.integer({ min: 1, max: 300_000 }), clear: fc.boolean() }),
      fc.record({ release: fc.nat() }),
    ),
    { maxLength: 40 },
  );
  fc.assert(
    fc.property(actions, (list) => {
      const memory = new LinearMemory(2 ** 26);
      const live: Range[] = [];
      for (const action of list) {
        if ("release" in action) {
          const [range] = live.splice(action.release % Math.max(1, live.length), 1);
          if (range) memory.release(range);
          continue;
        }
        const range = memory.allocate(action.bytes, "some", action.clear);
        assert.ok(range.address >= 64 && range.address % 64 === 0 && range.bytes >= action.bytes);
        for (const { address, bytes } of live) {
          assert.ok(range.address >= address + bytes || address >= range.address + range.bytes);
        }
        const contents = new Uint8Array(memory.memory.buffer, range.address, range.bytes);
        if (action.clear) assert.ok(contents.every((byte) => byte === 0));
        contents.fill(0xff);
        live.push(range);
      }
    }),
    { seed: 1, numRuns: 30 },
  );
});

Deno.test("neighbours that come back become one range again", () => {
  const memory = new LinearMemory(2 ** 22);
  const ranges = [1, 2, 3].map((i) => memory.allocate(1_000_000, `${i}`, false));
  assert.throws(() => memory.allocate(3_000_000, "large", false), {
    name: "DeviceError",
    message: /large/,
  });
  for (const index of [0, 2, 1]) memory.release(ranges[index] as Range);
  assert.equal(memory.allocate(3_000_000, "large", false).address, ranges[0]?.address);
  assert.throws(() => memory.allocate(2_000_000, "more", false), DeviceError);
});
