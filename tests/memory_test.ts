/**
 * What `plan` says of memory is what a run takes: four models of different shape through every stage,
 * each stage in a fresh process. The host's numbers include the process itself (about 85 MB), which
 * is most of them for the smallest model.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { type MeasuredMemory, measureMemory, writeRandomModel } from "./support/measured_memory.ts";
import { testUnless } from "./support/optional.ts";

/** By what sets them apart. */
const MODELS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  tiny: {
    hidden_size: 64,
    intermediate_size: 160,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    vocab_size: 512,
  },
  "wide, with a large vocabulary, tied": {
    hidden_size: 1024,
    intermediate_size: 2048,
    num_hidden_layers: 1,
    num_attention_heads: 16,
    vocab_size: 16000,
    tie_word_embeddings: true,
  },
  "deep, with grouped queries": {
    hidden_size: 256,
    intermediate_size: 704,
    num_hidden_layers: 16,
    num_attention_heads: 8,
    num_key_value_heads: 2,
    vocab_size: 1024,
  },
  "with biases and norms of queries and keys": {
    model_type: "qwen3",
    attention_bias: true,
    head_dim: 64,
    hidden_size: 512,
    intermediate_size: 1536,
    num_hidden_layers: 4,
    num_attention_heads: 8,
    num_key_value_heads: 4,
    vocab_size: 8192,
  },
};

/** Longer than what a merge compares. */
const TEXT = Array.from(
  { length: 200 },
  (_, line) => `${line}: the ${line % 2 === 0 ? "cat" : "dog"} sat on mat ${line % 7} all day.\n`,
).join("");

const LORA = `
  base: { stage: quantize, model: model, quantizer: { method: rtn, bits: 4, group_size: 32 } }
  adapter: { stage: initialize, from: base, form: lora, rank: 8 }
  tuned:
    { stage: train, from: adapter, data: { text: text.txt }, steps: 2, batch_size: 2, length: 64, dropout: 0.1 }
  merged: { stage: merge, from: tuned }
  quality:
    { stage: evaluate, from: merged, tasks: [{ task: perplexity, data: { text: held_out.txt }, window: 64 }] }
`;

const CALIBRATION = "{ data: { text: text.txt }, samples: 16, length: 256, batch_size: 4 }";

const CALIBRATED = `
  base:
    stage: quantize
    model: model
    quantizer: { method: gptq, bits: 4, group_size: 32 }
    calibration: ${CALIBRATION}
  adapter: { stage: initialize, from: base, form: lora, rank: 8, init: cloq, calibration: ${CALIBRATION} }
`;

const FULL = `
  base: { stage: quantize, model: model, quantizer: { method: none } }
  adapter: { stage: initialize, from: base, form: full }
  tuned:
    stage: train
    from: adapter
    data: { text: text.txt }
    steps: 2
    batch_size: 2
    length: 64
    activation_checkpointing: true
`;

for (const [name, config] of Object.entries(MODELS)) {
  Deno.test(`the planned memory is the measured one: ${name}`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      await writeRandomModel(join(folder, "model"), { max_position_embeddings: 256, ...config });
      await Deno.writeTextFile(join(folder, "text.txt"), TEXT);
      await Deno.writeTextFile(join(folder, "held_out.txt"), TEXT.slice(0, 3000));
      for (const [kind, graph] of Object.entries({ LORA, CALIBRATED, FULL })) {
        const file = join(folder, `${kind}.yaml`);
        await Deno.writeTextFile(file, `name: ${kind}\nseed: 1\ngraph:${graph}`);
        checkRun(await measureMemory(file, join(folder, "runs"), "cpu"), kind);
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

/** An evaluation is planned for a long text: its losses are collected in a quarter of a megabyte. */
const COLLECTED_LOSSES = 4 * 2 ** 16;

/** How many pages of Deno's own binary a process has resident is the system's choice. */
const RESIDENT_CODE = 20e6;

/** The peaks of a run within 10 % (device) and 20 % (host), and every stage almost as close. */
function checkRun(stages: readonly MeasuredMemory[], kind: string): void {
  for (const { id, stage, device, host } of stages) {
    if (device !== null) {
      checkClose(`${kind} ${id}: the device`, device, {
        below: 0.1 * device.measured,
        above: 0.1 * device.measured + (stage === "evaluate" ? COLLECTED_LOSSES : 0),
      });
    }
    const tolerance = Math.max(0.2 * host.measured, RESIDENT_CODE);
    checkClose(`${kind} ${id}: the host`, host, { below: tolerance, above: tolerance });
  }
  const peak = (bytes: readonly Bytes[]): Bytes => ({
    planned: Math.max(...bytes.map(({ planned }) => planned)),
    measured: Math.max(...bytes.map(({ measured }) => measured)),
  });
  const host = peak(stages.map(({ host }) => host));
  const tolerance = 0.2 * host.measured;
  checkClose(`${kind}: the host`, host, { below: tolerance, above: tolerance });
}

interface Bytes {
  readonly planned: number;
  readonly measured: number;
}

function checkClose(
  what: string,
  { planned, measured }: Bytes,
  { below, above }: { readonly below: number; readonly above: number },
): void {
  const shown = (bytes: number) => `${(bytes / 1e6).toFixed(2)} MB`;
  assert.ok(
    planned >= measured - below && planned <= measured + above,
    `${what} took ${shown(measured)}, planned were ${shown(planned)}`,
  );
}

/** Models by the names that `EQUIPOISE_LARGE_TESTS` takes, separated by spaces. */
const LARGE: Readonly<Record<string, LargeModel>> = {
  // The shape of TinyLlama.
  "1.1B": {
    config: {
      hidden_size: 2048,
      intermediate_size: 5632,
      num_hidden_layers: 22,
      num_attention_heads: 32,
      num_key_value_heads: 4,
      vocab_size: 32000,
      max_position_embeddings: 2048,
    },
    graph: LORA,
    needs: "two minutes, 5 GB of memory and 10 GB of disk",
  },
  // The shape of LLaMA-2; LoRA would merge into 27 GB of 16-bit weights.
  "7B": {
    config: {
      hidden_size: 4096,
      intermediate_size: 11008,
      num_hidden_layers: 32,
      num_attention_heads: 32,
      vocab_size: 32000,
      max_position_embeddings: 4096,
    },
    graph: LORA.replace("lora", "qa-lora"),
    needs: "ten minutes, 7 GB of memory and 30 GB of disk",
  },
};

interface LargeModel {
  readonly config: Readonly<Record<string, unknown>>;
  readonly graph: string;
  readonly needs: string;
}

const wanted = (Deno.env.get("EQUIPOISE_LARGE_TESTS") ?? "").split(" ");

for (const [name, { config, graph, needs }] of Object.entries(LARGE)) {
  testUnless(
    wanted.includes(name) ? null : `EQUIPOISE_LARGE_TESTS does not name ${name}; it takes ${needs}`,
    `${name} parameters go through all stages within 12 GB of host memory`,
    async () => {
      const folder = await Deno.makeTempDir();
      try {
        await writeRandomModel(join(folder, "model"), config);
        await Deno.writeTextFile(join(folder, "text.txt"), TEXT);
        await Deno.writeTextFile(join(folder, "held_out.txt"), TEXT.slice(0, 600));
        const file = join(folder, "large.yaml");
        await Deno.writeTextFile(file, `name: large\nseed: 1\ngraph:${graph}`);
        const stages = await measureMemory(file, join(folder, "runs"), "cpu");
        checkRun(stages, name);
        for (const stage of stages) {
          assert.ok(stage.host.measured <= 12e9, `${stage.id}: ${stage.host.measured} bytes`);
          console.log(stage);
        }
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  );
}
