import assert from "node:assert/strict";
import type { AdapterReport } from "../../kernels/webgpu/adapter.ts";
import { type Diagnosis, findingsOf } from "./diagnosis.ts";
import { bytes, renderDiagnosis } from "./diagnosis_text.ts";
import type { OperatingSystem } from "./operating_system.ts";

const DEBIAN: OperatingSystem = {
  id: "debian",
  like: [],
  codename: "bookworm",
  apt: true,
  asRoot: [],
};

const ADAPTER: AdapterReport = {
  found: true,
  vendor: "65541",
  description: "llvmpipe (LLVM 15.0.6, 256 bits)",
  driver: "1.4.305",
  software: true,
  featuresListed: [],
  featuresUsable: ["subgroups"],
  limits: { maxBufferSize: 2147483647, maxStorageBufferBindingSize: 134217728 },
  subgroupSize: 8,
  profile: "software",
  errors: [],
};

const DRIVER = { path: "/usr/share/vulkan/icd.d/lvp_icd.json", size: 1, modified: 0 };

const HEALTHY: Omit<Diagnosis, "findings"> = {
  ready: true,
  auto: { device: "cpu", reason: "this machine has no GPU" },
  cpu: {
    problem: null,
    threads: 2,
    fusedMultiplyAdd: true,
    wideVectors: true,
    memoryLimit: 2 ** 34,
  },
  webgpu: true,
  adapter: ADAPTER,
  vulkan: {
    loaders: [{ ...DRIVER, path: "/usr/lib/libvulkan.so.1" }],
    drivers: [DRIVER],
    devices: [],
  },
  mesaPackage: "25.0.7-2~bpo12+1",
  host: {
    system: "debian",
    processor: "CPU",
    cores: 2,
    memoryTotal: 8 * 2 ** 30,
    memoryAvailable: 1,
  },
  runtime: { deno: "2.9.6", v8: "15", typescript: "6" },
  caches: [],
  hub: {
    endpoint: "https://huggingface.co",
    token: "HF_TOKEN",
    cache: "/home/user/.cache/huggingface/hub",
    offline: null,
    problem: null,
  },
  python: "/usr/bin/python3",
};

const LINUX = Deno.build.os === "linux";

Deno.test("findingsOf() has nothing to say about a healthy machine", () => {
  assert.deepEqual(findingsOf(HEALTHY, DEBIAN, "", {}), []);
});

Deno.test({
  name: "findingsOf() tells a missing loader, a missing driver and a wrong variable apart",
  ignore: !LINUX,
  fn: () => {
    const none = { ...HEALTHY, webgpu: false, adapter: null };
    const find = (vulkan: Diagnosis["vulkan"], variables: Record<string, string> = {}) =>
      findingsOf({ ...none, vulkan }, DEBIAN, "", variables)[0];
    const { loaders } = HEALTHY.vulkan;
    assert.match(find({ loaders: [], drivers: [], devices: [] })?.text ?? "", /libvulkan/);
    const driverless = find({ loaders, drivers: [], devices: [] });
    assert.deepEqual(
      [driverless?.severity, driverless?.remedy],
      ["note", "deno task setup --webgpu"],
    );
    const variable = find({ loaders, drivers: [], devices: [] }, { VK_DRIVER_FILES: "/x.json" });
    assert.equal(variable?.remedy, "unset VK_DRIVER_FILES");
  },
});

Deno.test("findingsOf() quotes the driver when WebGPU cannot be opened", () => {
  const broken = { ...HEALTHY, webgpu: false, adapter: null };
  const [finding] = findingsOf(broken, DEBIAN, "it ended with signal SIGSEGV", {});
  assert.equal(finding?.severity, "note");
  assert.match(finding?.text ?? "", /SIGSEGV/);
});

Deno.test("findingsOf() calls a CPU device that does not compute an error", () => {
  const cpu = { ...HEALTHY.cpu, problem: "a thread did not start" };
  assert.deepEqual(findingsOf({ ...HEALTHY, ready: false, cpu }, DEBIAN, "", {}), [
    {
      severity: "error",
      text: "The CPU device does not compute: a thread did not start",
      remedy: null,
    },
  ]);
});

Deno.test("findingsOf() notes an idle NVIDIA GPU, an old Mesa and missing oracles", () => {
  const texts = findingsOf(
    {
      ...HEALTHY,
      vulkan: { ...HEALTHY.vulkan, devices: ["/dev/nvidia0"] },
      mesaPackage: "22.3.6-1+deb12u1",
      python: null,
    },
    { ...DEBIAN, asRoot: null },
    "",
    {},
  );
  assert.deepEqual(texts.map(({ severity }) => severity), ["note", "note", "note"]);
  assert.match(texts[0]?.text ?? "", /NVIDIA/);
  assert.match(texts[1]?.text ?? "", /22\.3\.6/);
  assert.match(texts[2]?.remedy ?? "", /^sudo apt-get .* python3-torch/);
});

Deno.test("findingsOf() notes an environment that the Hub cannot be used with", () => {
  const hub = { ...HEALTHY.hub, problem: 'HF_ENDPOINT is "mirror"' };
  const [finding] = findingsOf({ ...HEALTHY, hub }, DEBIAN, "", {});
  assert.equal(finding?.severity, "note");
  assert.match(finding?.text ?? "", /Hub cannot be used: HF_ENDPOINT is "mirror"/);
});

Deno.test("renderDiagnosis() shows limits in binary units and the verdict last", () => {
  const text = renderDiagnosis({ ...HEALTHY, findings: [] }, false);
  assert.match(text, /largest binding +128 MiB/);
  assert.match(text, /subgroups of 8/);
  assert.match(text, /vectors +256 bits/);
  assert.match(text, /token +set \(HF_TOKEN\)\n +cache +\/home\/user.*\n +network +used/);
  assert.equal(
    text.split("\n").at(-1),
    "Experiments run on cpu, because this machine has no GPU.",
  );
  assert.ok(!text.includes("\x1b"), "no colours were asked for");
  const colourful = renderDiagnosis({ ...HEALTHY, findings: [] }, true);
  assert.ok(colourful.includes("\x1b["));
});

Deno.test("renderDiagnosis() shows each finding with the line that mends it", () => {
  const findings = [{ severity: "error", text: "It is missing", remedy: "get it" }] as const;
  const text = renderDiagnosis({ ...HEALTHY, ready: false, adapter: null, findings }, false);
  assert.match(text, /adapter +none/);
  assert.match(text, /missing: It is missing\n {2}run: get it\n\nExperiments cannot run/);
});

Deno.test("bytes() picks the unit", () => {
  assert.deepEqual(
    [0, 1023, 1024, 1536, 134217728, 2147483647, 24 * 2 ** 30].map(bytes),
    ["0 B", "1023 B", "1 KiB", "1.5 KiB", "128 MiB", "2 GiB", "24 GiB"],
  );
});
