import assert from "node:assert/strict";
import { join } from "node:path";
import { randomFloats } from "../testing/arrays.ts";
import { type Case, checkCase } from "../testing/case.ts";
import { randomInteger } from "../testing/weights.ts";
import { openWebgpu } from "./adapter.ts";
import type { Profile, Tuning } from "./program.ts";
import { isTuning, STATIC_TUNING, tuningFamilies } from "./tuning.ts";
import { readTuning, tuningKey, writeTuning } from "./tuning_file.ts";

/** Products that the choices of a family apply to, with remainders in every direction. */
function casesFor(kind: Profile["class"], option: Partial<Tuning>): Case[] {
  if (option.workgroups) return [gradient()];
  if (option.vectorLanes) return [layer(1, 4, 4160)];
  return kind === "software" ? [layer(19, 40, 64), layer(19, 40, 64, true)] : [layer(515, 544, 32)];
}

function layer(M: number, N: number, K: number, transposed = false): Case {
  const label = `${transposed ? "linearTransposed" : "linear"} M=${M} N=${N} K=${K}`;
  const [inputs, outputs] = transposed ? [N, K] : [K, N];
  return {
    label,
    weight: randomInteger(label, N, K, 4, 1, 32),
    inputs: { input: { shape: [M, inputs], data: randomFloats(label, M * inputs) } },
    outputs: { output: { shape: [M, outputs], terms: inputs, magnitude: "absolute" } },
    record: (operations, tensor, weight) =>
      transposed
        ? operations.linearTransposed({
          gradOutput: tensor("input"),
          weight,
          gradInput: tensor("output"),
        })
        : operations.linear({ input: tensor("input"), weight, output: tensor("output") }),
  };
}

function gradient(): Case {
  const [K, M, N] = [1030, 7, 36];
  return {
    label: `gradient over ${K} rows`,
    inputs: {
      left: { shape: [K, M], data: randomFloats("left", K * M) },
      right: { shape: [K, N], data: randomFloats("right", K * N) },
    },
    outputs: { output: { shape: [M, N], terms: K, magnitude: "absolute" } },
    record: (operations, tensor) =>
      operations.matmul({
        left: tensor("left"),
        right: tensor("right"),
        output: tensor("output"),
        orientation: "tn",
      }),
  };
}

for (const kind of ["software", "gpu"] as const) {
  Deno.test(`every choice of the class ${kind} computes the same`, async (test) => {
    const standard = STATIC_TUNING[kind];
    for (const { name, options } of tuningFamilies({ class: kind })) {
      for (const option of options) {
        // Tiles 16 deep and slices on hardware are what `webgpu_test.ts` and `product_test.ts` run.
        if (option.tileDepth === 16 || (kind === "gpu" && option.workgroups)) continue;
        await test.step(`${name} ${JSON.stringify(option)}`, async () => {
          const device = await openWebgpu({ profile: kind, tuning: { ...standard, ...option } });
          for (const testCase of casesFor(kind, option)) await checkCase(device, testCase);
          device.close();
        });
      }
    }
  });
}

Deno.test("the static choices are among those that are measured", () => {
  for (const kind of ["software", "generic", "gpu"] as const) {
    const standard = STATIC_TUNING[kind];
    assert.ok(isTuning(standard, { class: kind }));
    for (const { name, options } of tuningFamilies({ class: kind })) {
      const same = options.filter((option) =>
        Object.entries(option).every(([key, value]) => standard[key as keyof Tuning] === value)
      );
      assert.ok(same.length === 1 || kind === "generic", `${name} on ${kind}`);
    }
  }
});

const PROFILE: Profile = {
  class: "software",
  subgroupSize: 8,
  preamble: "",
  maxWorkgroupStorageBytes: 16384,
  maxWorkgroupInvocations: 256,
  maxWorkgroupsPerDimension: 65535,
  maxBindingBytes: 2 ** 27,
};

Deno.test("a tuning file keeps the choices of several devices", async () => {
  const folder = await Deno.makeTempDir();
  const warnings: string[] = [];
  const warn = (message: string) => void warnings.push(message);
  const file = join(folder, "tuning.json");
  const tuning: Tuning = { ...STATIC_TUNING.software, laneRows: 8 };
  try {
    assert.equal(readTuning(file, () => "a device", PROFILE, warn), null);
    writeTuning(file, "a device", tuning, warn);
    writeTuning(file, "another", STATIC_TUNING.software, warn);
    assert.deepEqual(readTuning(file, () => "a device", PROFILE, warn), tuning);
    assert.equal(readTuning(file, () => "a third", PROFILE, warn), null);
    assert.deepEqual(warnings, []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a tuning file that is no use is ignored with a message", async () => {
  const folder = await Deno.makeTempDir();
  const file = join(folder, "tuning.json");
  const broken: readonly (readonly [string, RegExp])[] = [
    ['{"a device": {"lan', /^The tuning file .* is no JSON object: it is ignored/],
    ["[1, 2]", /is no JSON object/],
    ['{"a device": {"laneRows": 7}}', /has choices that these kernels do not have/],
    [
      JSON.stringify({ "a device": { ...STATIC_TUNING.software, tileSide: 1000 } }),
      /has choices that these kernels do not have/,
    ],
  ];
  try {
    for (const [text, expected] of broken) {
      await Deno.writeTextFile(file, text);
      const warnings: string[] = [];
      const found = readTuning(
        file,
        () => "a device",
        PROFILE,
        (message) => warnings.push(message),
      );
      assert.equal(found, null);
      assert.equal(warnings.length, 1, text);
      assert.match(warnings[0] ?? "", expected);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("what a file holds counts for one device, one Deno and one set of kernels", () => {
  const key = tuningKey("webgpu; software", PROFILE);
  assert.equal(tuningKey("webgpu; software", { ...PROFILE }), key);
  assert.ok(key.includes(Deno.version.deno));
  assert.notEqual(tuningKey("webgpu; other", PROFILE), key);
  assert.notEqual(tuningKey("webgpu; software", { ...PROFILE, subgroupSize: 4 }), key);
});

Deno.test("a measured device has another class, because its bits differ", async () => {
  const folder = await Deno.makeTempDir();
  const tuningFile = join(folder, "tuning.json");
  try {
    const plain = await openWebgpu({ tuningFile });
    const tuning: Tuning = { ...STATIC_TUNING[plain.profile.class], laneRows: 8, tileSide: 64 };
    writeTuning(tuningFile, tuningKey(plain.info.class, plain.profile), tuning, assert.fail);
    plain.close();
    const tuned = await openWebgpu({ tuningFile });
    assert.deepEqual(tuned.profile.tuning, tuning);
    assert.ok(tuned.info.class.startsWith(`${plain.info.class}; tuned `), tuned.info.class);
    tuned.close();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
