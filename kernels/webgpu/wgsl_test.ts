import assert from "node:assert/strict";
import { openWebgpu } from "./adapter.ts";
import type { KernelContext, Profile } from "./program.ts";
import { dispatchOf, f32, reductions, rowLanes, splitWork, u32 } from "./wgsl.ts";

const PROFILES = ["software", "gpu", "generic"] as const;

Deno.test("reductions give every lane the sum and the maximum, on every class of device", async () => {
  for (const name of PROFILES) {
    const device = await openWebgpu({ profile: name });
    const { subgroupSize } = device.profile;
    for (const lanes of name === "software" ? [subgroupSize] : [32, 256]) {
      const output = device.tensor("f32", [2, lanes], "output");
      device.run(device.recordKernels("reductions", ({ profile }) => [
        dispatchOf(profile, {
          label: "reductions",
          storage: [{ name: "output", tensor: output, access: "read_write", element: "f32" }],
          uniforms: { factor: f32(2) },
          body: `
${reductions(profile, lanes, { reduce_sum: "add", reduce_max: "max" })}
@compute @workgroup_size(${lanes})
fn main(@builtin(local_invocation_index) lane: u32) {
  let value = f32(lane) * parameters.factor;
  output[lane] = reduce_sum(value, lane);
  output[${lanes}u + lane] = reduce_max(-value, lane) + reduce_max(value, lane);
}`,
          workgroups: [1, 1, 1],
        }),
      ]));
      const found = await device.readFloats(output);
      const sum = lanes * (lanes - 1);
      assert.deepEqual([...new Set(found.subarray(0, lanes))], [sum], `${name} ${lanes} sum`);
      assert.deepEqual([...new Set(found.subarray(lanes))], [2 * (lanes - 1)], `${name} ${lanes}`);
    }
    device.close();
  }
});

const LIMITS = {
  preamble: "",
  maxWorkgroupStorageBytes: 16384,
  maxWorkgroupInvocations: 256,
  maxWorkgroupsPerDimension: 100,
  maxBindingBytes: 2 ** 27,
};
const SOFTWARE: Profile = { ...LIMITS, class: "software", subgroupSize: 8 };
const GPU: Profile = { ...LIMITS, class: "gpu", subgroupSize: 32 };

Deno.test("work is split into runs that cover it, within the workgroup limit", () => {
  for (const profile of [SOFTWARE, GPU]) {
    for (const count of [1, 2, 63, 64, 65, 99, 100, 101, 12345]) {
      const { groups, perGroup } = splitWork(profile, count);
      assert.ok(groups <= profile.maxWorkgroupsPerDimension);
      assert.ok(groups * perGroup >= count, "covers");
      assert.ok((groups - 1) * perGroup < count, "no empty workgroup");
    }
  }
});

Deno.test("rows get a subgroup on software and up to 256 lanes on hardware", () => {
  assert.equal(rowLanes(SOFTWARE, 4096), 8);
  assert.deepEqual([1, 128, 500, 4096].map((columns) => rowLanes(GPU, columns)), [
    32,
    32,
    128,
    256,
  ]);
});

Deno.test("a dispatch declares its bindings in order and its uniforms after them", () => {
  const tensor = { dtype: "f32", shape: [4], size: 4, label: "tensor" } as const;
  const context: Pick<KernelContext, "profile"> = { profile: GPU };
  const dispatch = dispatchOf(context.profile, {
    label: "kernel",
    storage: [
      { name: "input", tensor, access: "read", element: "vec4<f32>" },
      { name: "output", tensor, access: "read_write", element: "u32" },
    ],
    uniforms: { count: u32(3), scale: f32(0.5) },
    body: "BODY",
    workgroups: [1, 2, 3],
  });
  assert.equal(
    dispatch.code,
    `@group(0) @binding(0) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> output: array<u32>;
struct Parameters {
  count: u32,
  scale: f32,
}
@group(0) @binding(2) var<uniform> parameters: Parameters;
BODY`,
  );
  assert.deepEqual(dispatch.uniforms, [{ type: "u32", value: 3 }, { type: "f32", value: 0.5 }]);
});
