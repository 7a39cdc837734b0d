import assert from "node:assert/strict";
import { join } from "node:path";
import { type MemoryModel, plainMemory } from "../../kernels/counting/memory_model.ts";
import { loadExperiment } from "../graph/load.ts";
import { makePlan, type Plan } from "../graph/plan.ts";
import { Store } from "../graph/store.ts";
import { stages } from "../stages/registry.ts";
import type { MemoryLimits } from "./limits.ts";
import { planMemory, type PlanWithMemory } from "./plan_memory.ts";
import { SEVEN_BILLION } from "./testing/forecasts.ts";

const YAML = `name: seven
seed: 1
graph:
  base:    { stage: quantize, model: model, quantizer: { method: rtn, bits: 4, group_size: 32 } }
  adapter: { stage: initialize, from: base, form: lora, rank: 16 }
  tuned:   { stage: train, from: adapter, data: { text: text.txt }, steps: 2, batch_size: 4, length: 512 }
  quality: { stage: evaluate, from: tuned, tasks: [ { task: perplexity, data: { text: text.txt } } ] }
`;

/** A device with memory of its own. */
const MODEL: MemoryModel = { ...plainMemory("a test GPU", 2 ** 40), inHostMemory: false };

const PLENTY: MemoryLimits = { host: 1e12, hostAvailable: 1e12, device: 1e12, tensor: Infinity };

/** The plan of a 7B model that is only a `config.json`. */
async function planned(
  limits: Partial<MemoryLimits>,
  set: readonly string[] = [],
  config: Readonly<Record<string, unknown>> = SEVEN_BILLION,
): Promise<{ before: Plan; plan: PlanWithMemory }> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.mkdir(join(folder, "model"));
    await Deno.writeTextFile(join(folder, "model", "config.json"), JSON.stringify(config));
    await Deno.writeTextFile(join(folder, "text.txt"), "text");
    const file = join(folder, "seven.yaml");
    await Deno.writeTextFile(file, YAML);
    const experiment = await loadExperiment(file, { stages, set, setFolder: folder });
    using store = await Store.open(join(folder, "store"));
    const device = { name: "cpu", class: "test", description: "test", reason: "test" };
    const before = await makePlan(experiment, {
      stages,
      store,
      device: () => Promise.resolve(device),
    });
    const context = { stages, model: MODEL, limits: { ...PLENTY, ...limits } };
    return { before, plan: await planMemory(before, context) };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function stageOf({ stages }: Plan, id: string) {
  const stage = stages.find((stage) => stage.id === id);
  assert.ok(stage, id);
  return stage;
}

function checkpointingOf(plan: Plan): unknown {
  const { parameters } = stageOf(plan, "tuned").identity;
  return (parameters as Record<string, unknown>).activation_checkpointing;
}

Deno.test("every stage that runs has a plan, and auto checkpointing is off where all fits", async () => {
  const { before, plan } = await planned({});
  assert.equal(plan.memory.size, 4);
  assert.deepEqual(plan.shortages, []);
  assert.equal(checkpointingOf(before), "auto");
  assert.equal(checkpointingOf(plan), false);
  assert.equal(stageOf(plan, "tuned").key, stageOf(before, "tuned").key);
});

Deno.test("auto checkpointing is on where only that fits, into the device or into what is free", async () => {
  const { plan: reference } = await planned({});
  const { off, on } = reference.memory.get(stageOf(reference, "tuned").key)?.checkpointing ?? {};
  assert.ok(off?.device && on?.device && on.device.peak < off.device.peak);
  const device = Math.ceil((off.device.peak + on.device.peak) / 2);
  const { plan } = await planned({ device });
  assert.equal(checkpointingOf(plan), true);
  assert.deepEqual(plan.shortages, []);
  const memory = plan.memory.get(stageOf(plan, "tuned").key);
  assert.equal(memory?.device?.peak, on.device.peak);
  assert.equal(memory?.checkpointing?.chosen, true);
});

/** The only shortage of a plan. */
function shortageOf(plan: PlanWithMemory): string {
  assert.equal(plan.shortages.length, 1, JSON.stringify(plan.shortages));
  const [{ message, position } = { message: "", position: null }] = plan.shortages;
  return `${position?.line}: ${message}`;
}

Deno.test("what cannot fit is refused with the setting to change and the largest value that fits", async () => {
  const { plan } = await planned({ device: 8.5e9 });
  assert.match(
    shortageOf(plan),
    /^6: "tuned" cannot run: it needs 8\.\d+ GB on the device \(weight codes 3\.24 GB, scales and zeros 1\.62 GB, block inputs 1\.14 GB\), but a test GPU has 8\.50 GB; set tuned\.batch_size to [123]$/,
  );
  const value = shortageOf(plan).at(-1);
  const { plan: fixed } = await planned({ device: 8.5e9 }, [`tuned.batch_size=${value}`]);
  assert.deepEqual(fixed.shortages, []);
  const { plan: more } = await planned({ device: 8.5e9 }, [
    `tuned.batch_size=${Number(value) + 1}`,
  ]);
  assert.equal(more.shortages.length, 1);
});

Deno.test("checkpointing that is switched off is the first to be switched on", async () => {
  const { plan } = await planned({ device: 12e9 }, ["tuned.activation_checkpointing=false"]);
  assert.match(shortageOf(plan), /set tuned\.activation_checkpointing to true$/);
});

Deno.test("settings of the stages above help too; several where one is not enough", async () => {
  const set = ["tuned.batch_size=1", "tuned.length=8", "adapter.rank=64"];
  const { plan } = await planned({ device: 8e9 }, set);
  assert.match(shortageOf(plan), /set adapter\.rank to \d+$/);
  const { plan: tight } = await planned({ device: 5.9e9 });
  const messages = tight.shortages.map(({ message }) => message);
  assert.match(messages[0] ?? "", /set tuned\..* and set .*(rank|bits) to \d+$/);
});

Deno.test("the host is refused too, and a hopeless stage says so", async () => {
  const { plan } = await planned({ host: 250e6 });
  assert.match(
    plan.shortages[0]?.message ?? "",
    /"base" cannot run: it needs \d+ MB of host memory \(a layer 180 MB, .*\), but this machine has 250 MB; no setting makes it fit/,
  );
});

Deno.test("a tensor larger than the device makes is named", async () => {
  const { plan } = await planned({ tensor: 300e6 });
  assert.match(
    plan.shortages[0]?.message ?? "",
    /its tensor "model\.embed_tokens\.weight" takes 524 MB, but a test GPU allows 300 MB; no setting/,
  );
});

Deno.test("stages that cannot run whatever the memory are left to say so themselves", async () => {
  const { plan } = await planned({}, ["base.quantizer.group_size=48"]);
  assert.equal(plan.memory.has(stageOf(plan, "tuned").key), false);
  assert.deepEqual(plan.shortages, []);
});
