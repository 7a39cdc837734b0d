import assert from "node:assert/strict";
import { join } from "node:path";
import { UserError } from "../errors.ts";
import { type LoraFactors, loraScale, readPeftAdapter, writePeftAdapter } from "./peft.ts";
import { SafetensorsFile, SafetensorsWriter } from "./safetensors.ts";

const Q_PROJ = "model.layers.0.self_attn.q_proj";
const CONFIG = { r: 2, lora_alpha: 4, target_modules: ["q_proj"] };

async function withFolder(use: (folder: string) => void): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function factors(rank: number, inputs: number, outputs: number): LoraFactors {
  const count = (length: number) => Float32Array.from({ length }, (_, i) => i + rank);
  return {
    rank,
    scale: 4 / rank,
    inputs,
    outputs,
    a: count(rank * inputs),
    b: count(outputs * rank),
  };
}

/** A folder as PEFT writes it, without our writer of adapters. */
function writeByHand(folder: string, config: object, tensors: Record<string, number[]>): void {
  Deno.writeTextFileSync(join(folder, "adapter_config.json"), JSON.stringify(config));
  const writer = SafetensorsWriter.create(
    join(folder, "adapter_model.safetensors"),
    Object.entries(tensors).map(([name, shape]) => ({ name, dtype: "F32", shape })),
  );
  for (const [name, shape] of Object.entries(tensors)) {
    writer.write(name, new Float32Array(shape.reduce((product, size) => product * size, 1)));
  }
  writer.finish();
}

Deno.test("writePeftAdapter() writes the names, shapes and settings that PEFT expects", () =>
  withFolder((folder) => {
    writePeftAdapter(folder, {
      config: { ...CONFIG, pooling: "average" },
      modules: new Map([[Q_PROJ, factors(2, 3, 4)]]),
    }, { dtype: "BF16" });
    using file = SafetensorsFile.open(join(folder, "adapter_model.safetensors"));
    assert.deepEqual(
      [...file.tensors].map(([name, { dtype, shape }]) => [name, dtype, shape]),
      [
        [`base_model.model.${Q_PROJ}.lora_A.weight`, "BF16", [2, 3]],
        [`base_model.model.${Q_PROJ}.lora_B.weight`, "BF16", [4, 2]],
      ],
    );
    assert.equal(file.metadata.format, "pt");
    const config = JSON.parse(Deno.readTextFileSync(join(folder, "adapter_config.json")));
    for (
      const [key, value] of Object.entries({
        peft_type: "LORA",
        task_type: "CAUSAL_LM",
        r: 2,
        lora_alpha: 4,
        target_modules: ["q_proj"],
        bias: "none",
        fan_in_fan_out: false,
        use_dora: false,
        modules_to_save: null,
        rank_pattern: {},
        pooling: "average",
      })
    ) {
      assert.deepEqual(config[key], value, key);
    }
  }));

Deno.test("readPeftAdapter() gets back what writePeftAdapter() wrote", () =>
  withFolder((folder) => {
    const modules = new Map([[Q_PROJ, factors(2, 3, 4)], ["lm_head", factors(3, 5, 1)]]);
    const config = { ...CONFIG, rank_pattern: { lm_head: 3 }, pooling: "average" };
    writePeftAdapter(folder, { config, modules });
    const read = readPeftAdapter(folder);
    assert.deepEqual(read.modules, modules);
    assert.equal(read.config.pooling, "average");
    assert.equal(read.config.lora_alpha, 4);
  }));

Deno.test("writePeftAdapter() refuses a scale that its configuration does not give", () =>
  withFolder((folder) => {
    const modules = new Map([[Q_PROJ, { ...factors(2, 3, 4), scale: 1 }]]);
    assert.throws(() => writePeftAdapter(folder, { config: CONFIG, modules }), /takes 2/);
    assert.deepEqual([...Deno.readDirSync(folder)], []);
  }));

Deno.test("readPeftAdapter() reads names with the adapter's name in them", () =>
  withFolder((folder) => {
    writeByHand(folder, { peft_type: "LORA", ...CONFIG }, {
      [`base_model.model.${Q_PROJ}.lora_A.default.weight`]: [2, 3],
      [`base_model.model.${Q_PROJ}.lora_B.default.weight`]: [4, 2],
    });
    assert.deepEqual([...readPeftAdapter(folder).modules.keys()], [Q_PROJ]);
  }));

Deno.test("readPeftAdapter() refuses what is not a plain, complete LoRA", () =>
  withFolder((folder) => {
    const plain = { peft_type: "LORA", ...CONFIG };
    const keyA = `base_model.model.${Q_PROJ}.lora_A.weight`;
    const keyB = `base_model.model.${Q_PROJ}.lora_B.weight`;
    const good = { [keyA]: [2, 3], [keyB]: [4, 2] };
    const refuses = (message: RegExp) =>
      assert.throws(
        () => readPeftAdapter(folder),
        (error) => error instanceof UserError && message.test(error.message),
      );
    refuses(/There is no .*adapter_config.json/);
    const cases: [object, Record<string, number[]>, RegExp][] = [
      [{ ...plain, peft_type: "IA3" }, good, /"peft_type"/],
      [{ ...plain, r: 0 }, good, /"r"/],
      [{ ...plain, use_dora: true }, good, /use_dora is true; only plain LoRA/],
      [{ ...plain, bias: "all" }, good, /bias is "all"/],
      [{ ...plain, modules_to_save: ["lm_head"] }, good, /modules_to_save is \["lm_head"\]/],
      [plain, {}, /has no tensors/],
      [plain, { [keyA]: [2, 3] }, /has lora_A but no lora_B/],
      [plain, { [keyB]: [4, 2] }, /has lora_B but no lora_A/],
      [plain, { ...good, [keyB]: [4, 3] }, /\[2, 3\] and its lora_B is \[4, 3\].*rank 2/],
      [{ ...plain, r: 8 }, good, /gives rank 8; wanted \[8, inputs\]/],
      [plain, { ...good, [keyA]: [6] }, /is \[6\]/],
      [plain, { ...good, "base_model.model.lm_head.weight": [1] }, /not a LoRA factor/],
    ];
    for (const [config, tensors, message] of cases) {
      writeByHand(folder, config, tensors);
      refuses(message);
    }
    Deno.removeSync(join(folder, "adapter_model.safetensors"));
    refuses(/adapter_model.safetensors: no such file/);
  }));

Deno.test("loraScale() follows alpha, rank, patterns and rank-stabilized scaling", () => {
  assert.equal(loraScale(CONFIG, Q_PROJ, 2), 2);
  assert.equal(loraScale({ ...CONFIG, use_rslora: true }, Q_PROJ, 4), 2);
  const alpha_pattern = { "self_attn\\.q_proj": 32, "layers.1.mlp.up_proj": 8 };
  assert.equal(loraScale({ ...CONFIG, alpha_pattern }, Q_PROJ, 2), 16);
  assert.equal(loraScale({ ...CONFIG, alpha_pattern }, "model.layers.0.mlp.up_proj", 2), 2);
  assert.equal(loraScale({ ...CONFIG, alpha_pattern: { roj: 32 } }, Q_PROJ, 2), 2);
  assert.throws(() => loraScale({ ...CONFIG, alpha_pattern: { "(": 1 } }, Q_PROJ, 2), UserError);
});
