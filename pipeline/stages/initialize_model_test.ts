import assert from "node:assert/strict";
import { join } from "node:path";
import { TINY_TEXT, writeTinyModel } from "../../tests/support/tiny_model.ts";
import { readAdapter } from "../adapters/adapter.ts";
import { evaluate } from "./evaluate.ts";
import { initialize } from "./initialize.ts";
import { ERRORS_FILE } from "./initialize_layers.ts";
import { merge } from "./merge.ts";
import { quantize } from "./quantize.ts";
import { Workbench } from "./testing/context.ts";
import { train } from "./train.ts";

const QUANTIZER = { method: "rtn", bits: 2, group_size: 16 };

/** Settings that make every method move in a second. */
const METHODS: Readonly<Record<string, object>> = {
  "apiq-bw": { epochs: 2, validation: 0.25 },
  "apiq-lw": { epochs: 1, validation: 0.25 },
  rilq: { steps: 2, accumulate: 2, evaluate_every: 1, lr: 1e-3, validation: 0.25 },
};

async function withBase(
  test: (bench: Workbench, data: { readonly text: string }) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "equipoise-test-" });
  try {
    const text = join(folder, "text.txt");
    await writeTinyModel(join(folder, "model"), { deviation: 0.2 });
    await Deno.writeTextFile(text, TINY_TEXT);
    const bench = new Workbench(folder);
    await bench.run(quantize, "base", { model: join(folder, "model"), quantizer: QUANTIZER });
    await test(bench, { text });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

for (const [method, settings] of Object.entries(METHODS)) {
  for (const form of ["lora", "qa-lora"]) {
    Deno.test(`an adapter of ${method} is trained, merged and measured: ${form}`, () =>
      withBase(async (bench, data) => {
        const options = {
          form,
          rank: 2,
          init: { method, ...settings },
          calibration: { data, samples: 4, length: 32 },
        };
        const { metrics, facts } = await bench.run(initialize, "adapter", options, "base");
        const { folder } = bench.artifact("adapter");
        assert.equal(readAdapter(folder).description.base, method === "rilq" ? "base" : null);
        assert.equal(facts?.init, method);
        assert.equal(facts?.held_out_windows, 1);
        assert((metrics.calibrated_error?.value ?? 0) > 0);
        const files = [...Deno.readDirSync(folder)].map(({ name }) => name);
        assert(files.includes(ERRORS_FILE));
        assert.deepEqual(files.filter((name) => name.endsWith(".tmp")), []);

        const training = { data, steps: 2, batch_size: 2, length: 16, optimizer: { lr: 1e-3 } };
        await bench.run(train, "tuned", training, "adapter");
        const proof = await bench.run(merge, "merged", { dtype: "f32" }, "tuned");
        assert((proof.metrics.relative_logit_difference?.value ?? NaN) < 1e-4);
        const tasks = [{ task: "perplexity", data, window: 32 }];
        const [tuned = NaN, merged = NaN] = await Promise.all(["tuned", "merged"].map(
          async (from) =>
            (await bench.run(evaluate, `quality of ${from}`, { tasks }, from)).metrics.perplexity
              ?.value,
        ));
        assert(Math.abs(tuned / merged - 1) < 1e-5, `${tuned} and ${merged}`);
      }));
  }
}

Deno.test("check() asks for the text that methods train on", () => {
  for (const method of Object.keys(METHODS)) {
    const options = initialize.parameters.parse({ form: "lora", init: method });
    const problems = initialize.check?.(options, []) ?? [];
    assert.deepEqual(problems.map(({ path }) => path), ["init"]);
    assert.match(problems[0]?.message ?? "", new RegExp(`${method}.*add .calibration:`));
  }
});
