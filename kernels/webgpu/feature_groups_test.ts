import assert from "node:assert/strict";
import { threefry } from "../random.ts";
import { placeOn } from "../testing/weights.ts";
import { openWebgpu } from "./adapter.ts";

Deno.test("dropout keeps exactly the elements that the host's generator keeps", async () => {
  const device = await openWebgpu();
  const place = placeOn(device);
  const [rows, columns, rate, stream] = [37, 44, 0.3, 0xfffffff1];
  const key = [0x9e3779b9, 0xffffffff] as const;
  const hidden = device.tensor("f32", [rows, columns], "hidden");
  device.run(device.record("dropout", (operations) =>
    operations.lowRank({
      input: place("f32", [rows, columns], new Float32Array(rows * columns).fill(1), "input"),
      a: null,
      b: place("f32", [1, columns], new Float32Array(columns), "b"),
      pool: 1,
      repeat: 1,
      scale: 1,
      dropout: { rate, stream, key: place("u32", [2], Uint32Array.from(key), "key") },
      hidden,
      output: device.tensor("f32", [rows, 1], "output"),
    })));
  const found = await device.readFloats(hidden);
  const kept = Math.fround(1 / (1 - rate));
  const expected = Array.from(
    found,
    (_, element) => threefry(key, [element, stream])[0] >= Math.floor(rate * 2 ** 32) ? kept : 0,
  );
  assert.deepEqual(Array.from(found), expected);
  device.close();
});
