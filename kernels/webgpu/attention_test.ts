import assert from "node:assert/strict";
import { attentionBackwardCases, attentionCases } from "../testing/attention_cases.ts";
import { checkCase } from "../testing/case.ts";
import { openWebgpu } from "./adapter.ts";
import { tileShape } from "./attention_tiles.ts";
import type { Profile } from "./program.ts";

const GPU: Profile = {
  class: "gpu",
  subgroupSize: 32,
  preamble: "",
  maxWorkgroupStorageBytes: 16384,
  maxWorkgroupInvocations: 256,
  maxWorkgroupsPerDimension: 65535,
  maxBindingBytes: 2 ** 27,
};

Deno.test("attention adds parts of a row by subgroup shuffles", async () => {
  const device = await openWebgpu({ profile: "gpu" });
  const cases = [...attentionCases(), ...attentionBackwardCases()]
    .filter(({ label }) => label.includes("headDim=80"));
  assert.ok(cases.length >= 2, "the conformance suite has heads that are cut into parts");
  assert.equal(tileShape(device.profile, 80, 2).memory, "subgroups");
  assert.ok(tileShape(device.profile, 80, 2).parts > 1);
  for (const testCase of cases) await checkCase(device, testCase);
  device.close();
});

Deno.test("parts, tiles and invocations fit every device", () => {
  for (const profile of [GPU, { ...GPU, class: "generic", subgroupSize: 0 }] as const) {
    for (let headDim = 4; headDim <= 256; headDim += 4) {
      const shape = tileShape(profile, headDim, 4);
      assert.equal(shape.parts * shape.vectors * 4, headDim);
      assert.equal(shape.loaded % shape.rows, 0);
      assert.ok(shape.lanes <= 256 && shape.lanes % shape.parts === 0);
      const tiles = 2 * 16 * shape.loaded * shape.rowVectors;
      const exchange = 4 * 2 * shape.rows * shape.lanes;
      assert.ok(tiles + exchange <= 16384, `head ${headDim}: ${tiles} + ${exchange} bytes`);
    }
  }
});

Deno.test("a head that is not made of vectors is refused", () => {
  assert.throws(() => tileShape(GPU, 30, 2), /headDim is 30; use a multiple of 4/);
});
