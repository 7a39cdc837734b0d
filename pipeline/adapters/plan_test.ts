import assert from "node:assert/strict";
import type { LinearShape } from "../models/architecture.ts";
import { LINEAR_NAMES, modelLinears } from "../models/architecture.ts";
import { parseConfig } from "../models/config.ts";
import { type AdapterOptions, adapterParameters, planAdapter } from "./plan.ts";

const llama7b = parseConfig({
  hidden_size: 4096,
  intermediate_size: 11008,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  vocab_size: 32000,
}, "llama-7b");

const group32 = { rows: 1, columns: 32 };

function options(changes: Partial<AdapterOptions>): AdapterOptions {
  return {
    form: "lora",
    rank: 64,
    alpha: 16,
    lambda: 2,
    rankStabilized: false,
    pooling: "average",
    budget: null,
    targets: LINEAR_NAMES,
    ...changes,
  };
}

function count(changes: Partial<AdapterOptions>): number {
  return modelLinears(llama7b).reduce((sum, linear) => {
    const shape = planAdapter(options(changes), linear, group32);
    return sum + (shape === null ? 0 : adapterParameters(shape));
  }, 0);
}

function layer(rows: number, columns: number): LinearShape {
  return { name: "q_proj", path: "layer", layer: 0, rows, columns, bias: false };
}

Deno.test("planAdapter() gives the published parameter counts of 7B at rank 64", () => {
  assert.equal(count({ form: "lora" }), 159_907_840);
  assert.equal(count({ form: "qa-lora" }), 89_309_184);
});

Deno.test("planAdapter() gives Q-BLoRA the parameters of LoRA for every lambda", () => {
  for (const lambda of [1, 2, 4, 8]) {
    assert.equal(count({ form: "q-blora", lambda }), 159_907_840, `lambda ${lambda}`);
  }
});

Deno.test("planAdapter() gives QA-HiRA one parameter per tile", () => {
  const shape = planAdapter(
    options({ form: "qa-hira", pool: 4, repeat: 8 }),
    layer(4096, 4096),
    { rows: 8, columns: 4 },
  );
  assert.equal(shape === null ? 0 : adapterParameters(shape), 524_288);
});

Deno.test("planAdapter() resolves the ranks of LoRA's budget", () => {
  // references: r' = r (in + out) / (in / p + out / q), rounded down and capped by the smaller side.
  const tiles: [pool: number, repeat: number, ranks: [number, number, number]][] = [
    [32, 1, [124, 86, 217]],
    [16, 2, [227, 167, 353]],
    [8, 4, [341, 296, 402]],
    [4, 8, [341, 402, 296]],
  ];
  const layers = [layer(4096, 4096), layer(11008, 4096), layer(4096, 11008)];
  for (const [pool, repeat, ranks] of tiles) {
    layers.forEach((linear, index) => {
      const shape = planAdapter(
        options({ form: "qa-blora", budget: "lora", pool, repeat }),
        linear,
        { rows: repeat, columns: pool },
      );
      assert.equal(shape?.rank, ranks[index], `${pool} x ${repeat}, ${linear.rows}`);
    });
  }
});

Deno.test("planAdapter() scales by the nominal rank, and by the pool for sums", () => {
  const shape = (changes: Partial<AdapterOptions>) =>
    planAdapter(options(changes), layer(128, 128), group32);
  assert.equal(shape({ form: "q-blora", lambda: 4 })?.scale, 16 / 64);
  assert.equal(shape({ form: "qa-lora", pooling: "sum" })?.scale, 32 * 16 / 64);
  assert.equal(shape({ form: "lora", rankStabilized: true })?.scale, 16 / 8);
});

Deno.test("planAdapter() leaves layers that are not targets alone", () => {
  assert.equal(planAdapter(options({ targets: ["v_proj"] }), layer(64, 64), null), null);
});

Deno.test("planAdapter() refuses tiles that do not fit", () => {
  assert.throws(
    () => planAdapter(options({ form: "q-blora", lambda: 3 }), layer(64, 64), null),
    /pool 3 does not divide the 64 inputs of layer/,
  );
  assert.throws(
    () => planAdapter(options({ form: "qa-lora", pool: 16 }), layer(64, 64), group32),
    /cut through its quantization blocks of 1 x 32/,
  );
  assert.throws(
    () => planAdapter(options({ form: "qa-lora" }), layer(64, 64), null),
    /layer has none; quantize with an integer method/,
  );
});
