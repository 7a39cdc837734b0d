import assert from "node:assert/strict";
import { drawWindows } from "./windows.ts";

const STREAM = Uint32Array.from({ length: 1000 }, (_, index) => index);

Deno.test("windows are runs of the stream, one from each part of it", () => {
  const windows = drawWindows(STREAM, { samples: 8, length: 20 }, 1);
  assert.equal(windows.length, 160);
  for (let sample = 0; sample < 8; sample++) {
    const window = windows.subarray(20 * sample, 20 * (sample + 1));
    const start = window[0] as number;
    assert.deepEqual(window, STREAM.subarray(start, start + 20));
    assert(start >= Math.floor(sample / 8 * 981) && start < (sample + 1) / 8 * 981, `${start}`);
  }
});

Deno.test("the seed decides, and nothing else", () => {
  const shape = { samples: 8, length: 20 };
  assert.deepEqual(drawWindows(STREAM, shape, 1), drawWindows(STREAM, shape, 1));
  assert.notDeepEqual(drawWindows(STREAM, shape, 1), drawWindows(STREAM, shape, 2));
});

Deno.test("a text of exactly one window gives it every time", () => {
  const windows = drawWindows(STREAM.subarray(0, 5), { samples: 3, length: 5 }, 1);
  assert.deepEqual([...windows], [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
  assert.throws(() => drawWindows(STREAM.subarray(0, 5), { samples: 1, length: 6 }, 1), RangeError);
});
