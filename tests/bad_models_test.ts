/**
 * Bad models and bad data: each with one clear message, exit status 1, and nothing half-written.
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { assertForPeople, assertOneMessage, runCommand } from "./support/command.ts";
import { editConfig, editHeader, setWeight, truncateWeights } from "./support/damage.ts";
import { resultsIn, unfinishedIn } from "./support/store.ts";
import { inFolder, QUANTIZE, writeTinyModel } from "./support/tiny_model.ts";

/** Nodes that fail while they run, all in one experiment. */
const FAILURES: readonly (readonly [node: string, definition: string, message: RegExp])[] = [
  [
    "truncated",
    quantize("truncated"),
    /truncated\/model\.safetensors: the header describes \d+ bytes of tensors, but \d+ follow it; the file is truncated/,
  ],
  [
    "beheaded",
    quantize("beheaded"),
    /beheaded\/model\.safetensors: .* starts with 8 bytes .* has 5 bytes; it is truncated or not/,
  ],
  [
    "lying_shape",
    quantize("lying_shape"),
    /lying_shape\/model\.safetensors: tensor "model\.norm\.weight" has data_offsets .* hold 128 bytes, but F32 \[64\] takes 256/,
  ],
  [
    "lying_range",
    quantize("lying_range"),
    /lying_range\/model\.safetensors: tensor ".*" starts at data byte \d+, but the tensors before it end at \d+; the format allows no overlap/,
  ],
  [
    "no_config",
    quantize("no_config"),
    /no_config\/config\.json is missing; a model folder needs it/,
  ],
  [
    "no_field",
    quantize("no_field"),
    /no_field\/config\.json: the field "intermediate_size" is missing/,
  ],
  [
    "misfit",
    quantize("misfit"),
    /misfit: tensor "model\.layers\.0\.mlp\.gate_proj\.weight" has shape \[64, 32\], but config\.json implies \[96, 32\]/,
  ],
  [
    "headless",
    quantize("headless"),
    /headless: the model has no tensor "lm_head\.weight" among its 11; the weights do not fit config\.json/,
  ],
  [
    "nan_weight",
    quantize("nan_weight"),
    /Cannot quantize model\.layers\.0\.mlp\.up_proj: the weight at row 0, column 0 is NaN; check that/,
  ],
  [
    "group_size",
    "{ stage: quantize, model: tiny, quantizer: { method: rtn, bits: 4, group_size: 24 } }",
    /Cannot quantize model\.layers\.0\.self_attn\.q_proj: group_size 24 does not divide its 32 inputs; use one of 8, 16, 32/,
  ],
  [
    "nf4_block",
    "{ stage: quantize, model: tiny, quantizer: { method: nf4 } }",
    /Cannot quantize .*q_proj: NF4's block of 64 does not divide its 32 inputs; use rtn/,
  ],
  [
    "pool",
    "{ stage: initialize, from: base, form: qa-lora, rank: 4, pool: 24 }",
    /The adapter's pool 24 does not divide the 32 inputs of .*q_proj; choose a divisor, or leave this layer out/,
  ],
  [
    "cut_blocks",
    "{ stage: initialize, from: base, form: qa-lora, rank: 4, pool: 8 }",
    /The qa-lora adapter of .*q_proj has tiles of 1 outputs x 8 inputs, which cut through its quantization blocks of 1 x 16; make pool a multiple of 16/,
  ],
  [
    "quantized_twice",
    "{ stage: quantize, from: base, quantizer: { method: rtn, bits: 2, group_size: 16 } }",
    /"base" is quantized already; give the unquantized model/,
  ],
  [
    "empty_corpus",
    train("text: empty.txt"),
    /The text data .*empty\.txt is empty: there is no document with any text in it/,
  ],
  [
    "short_corpus",
    train("text: short.txt"),
    /The text data .*short\.txt has 6 tokens, less than one window of 16; set a smaller length or add text/,
  ],
  [
    "nothing_to_learn",
    train("jsonl: no_completion.jsonl"),
    /no_completion\.jsonl:2: the completion is empty: there is nothing to learn; correct it, or set on_bad_row: skip/,
  ],
  [
    "mask_of_zeros",
    train("jsonl: long_prompt.jsonl, on_bad_row: skip"),
    /The data .*long_prompt\.jsonl has nothing to train on: all of its 1 rows were skipped/,
  ],
  [
    "nan_loss",
    `${train("text: text.txt").slice(0, -2)}, clip: null, optimizer: { lr: 1e300 } }`,
    /Training diverged: the loss is NaN in step 2, with learning rate 1e\+300; lower optimizer\.lr/,
  ],
  [
    "too_long",
    train("text: text.txt").replace("length: 16", "length: 65"),
    /Rows of 65 tokens do not fit the model's 64 positions.*; use a length or window of at most 64/,
  ],
  [
    "wrong_tokenizer",
    "{ stage: evaluate, from: small, tasks: [ { task: perplexity, data: { text: text.txt }, window: 16 } ] }",
    /tokenizer\.json: the token ".*" has id \d+, but the model has only 100 tokens \(vocab_size\); give the model its own tokenizer/,
  ],
];

function quantize(model: string): string {
  return QUANTIZE.replace("tiny", model);
}

function train(data: string): string {
  return `{ stage: train, from: adapter, data: { ${data} }, steps: 4, batch_size: 2, length: 16 }`;
}

async function writeBadModels(folder: string): Promise<void> {
  const model = async (name: string, config?: Readonly<Record<string, unknown>>) => {
    await writeTinyModel(join(folder, name), config === undefined ? {} : { config });
    return join(folder, name);
  };
  await truncateWeights(await model("truncated"), 1000);
  await Deno.truncate(join(await model("beheaded"), "model.safetensors"), 5);
  await editHeader(await model("lying_shape"), (header) => {
    header["model.norm.weight"] = { ...header["model.norm.weight"], shape: [64] };
  });
  await editHeader(await model("lying_range"), (header) => {
    const last = Object.values(header).at(-1);
    if (last !== undefined) {
      last["data_offsets"] = (last["data_offsets"] as number[]).map((offset) => offset - 4);
    }
  });
  await Deno.remove(join(await model("no_config"), "config.json"));
  await editConfig(await model("no_field"), (config) => delete config["intermediate_size"]);
  await editConfig(await model("misfit"), (config) => config["intermediate_size"] = 96);
  await editConfig(await model("headless"), (config) => config["tie_word_embeddings"] = false);
  await setWeight(await model("nan_weight"), "model.layers.0.mlp.up_proj.weight", NaN);
  await model("small", { vocab_size: 100 });
  const data: Readonly<Record<string, string>> = {
    "empty.txt": " \n\n",
    "short.txt": "short",
    "no_completion.jsonl": '{"prompt":"a","completion":"b"}\n{"prompt":"a","completion":""}\n',
    "long_prompt.jsonl": `{"prompt":"${"q ".repeat(30)}","completion":"b"}\n`,
  };
  for (const [name, text] of Object.entries(data)) {
    await Deno.writeTextFile(join(folder, name), text);
  }
}

Deno.test("bad models and data end with status 1, one line each, and no result of theirs", async (t) => {
  await inFolder(async (folder) => {
    await writeBadModels(folder);
    const nodes = [
      `base: ${QUANTIZE}`,
      "small: { stage: quantize, model: small, quantizer: { method: none } }",
      "adapter: { stage: initialize, from: base, form: qa-lora, rank: 4 }",
      ...FAILURES.map(([node, definition]) => `${node}: ${definition}`),
    ];
    await Deno.writeTextFile(
      join(folder, "bad.yaml"),
      `name: bad\ngraph:\n  ${nodes.join("\n  ")}\n`,
    );
    const { status, stderr } = await runCommand(
      "experiment",
      ["bad.yaml", "--device", "reference", "--out", "out"],
      { cwd: folder },
    );
    assert.equal(status, 1);
    assertForPeople(stderr);
    const lines = stderr.split("\n");
    for (const [node, , message] of FAILURES) {
      await t.step(node, () => {
        const own = lines.filter((line) => line.startsWith(`✗ ${node}`));
        assertOneMessage(own.join("\n"), message);
      });
    }
    assert.equal(lines.filter((line) => line.startsWith("✗")).length, FAILURES.length);
    const out = join(folder, "out");
    assert.deepEqual([...(await resultsIn(out)).keys()].sort(), ["adapter", "base", "small"]);
    assert.deepEqual(await unfinishedIn(out), []);
  });
});
