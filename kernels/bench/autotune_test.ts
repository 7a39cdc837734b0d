import assert from "node:assert/strict";
import { openWebgpu } from "../webgpu/adapter.ts";
import type { Tuning } from "../webgpu/program.ts";
import { isTuning, tuningFamilies } from "../webgpu/tuning.ts";
import { autotune } from "./autotune.ts";

Deno.test("autotune() measures every alternative and chooses the fastest of each family", async () => {
  const device = await openWebgpu();
  if (device.profile.class !== "software") {
    // The products that decide on hardware are large: there the benchmark itself is the test.
    device.close();
    return;
  }
  const measured = new Map<string, [Partial<Tuning>, number][]>();
  const before = device.memory().current;
  const tuning = await autotune(device, (family, option, seconds) => {
    measured.set(family, [...measured.get(family) ?? [], [option, seconds]]);
  }, { samples: 1, sampleSeconds: 0 });
  assert.equal(device.memory().current, before);
  assert.ok(isTuning(tuning, device.profile));
  for (const { name, options } of tuningFamilies(device.profile)) {
    const results = measured.get(name) ?? [];
    assert.deepEqual(results.map(([option]) => option), options);
    const [fastest] = results.toSorted(([, left], [, right]) => left - right);
    const [option, seconds] = fastest ?? [];
    assert.ok(seconds !== undefined && Number.isFinite(seconds) && seconds > 0);
    assert.deepEqual({ ...tuning, ...option }, tuning, name);
  }
  device.close();
});
