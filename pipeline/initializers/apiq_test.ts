// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { CountingDevice } from "../../kernels/counting/device.ts";
import { cpuMemory } from "../../kernels/cpu/memory_model.ts";
import { openCpu } from "../../kernels/cpu/device.ts";
import { UserError } from "../errors.ts";
import { modelLinears } from "../models/architecture.ts";
import type { ModelSource } from "../models/language_model.ts";
import { moduleFormat } from "../models/quantized_tensors.ts";
import { apiqBw } from "./apiq_bw.ts";
import { apiqLw } from "./apiq_lw.ts";
import { holdOut } from "./held_out.ts";
import type { InitializedModel } from "./model_initializer.ts";
import {
  rounded,
  type RunOptions,
  smallModel,
  type TestRun,
  valuesIn,
  withRun,
  withWeights,
} from "./testing/models.ts";
import { hiddenStates, layerInputs, meanSquare, windowsOf } from "./testing/whole_model.ts";
import { zeroModule } from "./zero.ts";

type Name = "apiq-bw" | "apiq-lw";

const METHODS: readonly Name[] = ["apiq-bw", "apiq-lw"];

function learn(run: TestRun, method: Name, options: object = {}): Promise<InitializedModel> {
  return method === "apiq-bw"
    ? apiqBw.initializeModel(run, apiqBw.parameters.parse({ method, epochs: 2, ...options }))
    : apiqLw.initializeModel(run, apiqLw.parameters.parse({ method, epochs: 2, ...options }));
}

/** What ApiQ leaves, as a model. */
function learned(run: TestRun): ModelSource {
  return withWeights(run.base, run.replaced);
}

for (const method of METHODS) {
  Deno.test(`I-28: the held-out error of ${method} never rises, and falls on the whole`, () =>
    withRun({ samples: 10 }, async (run) => {
      const { facts } = await learn(run, method, { epochs: 8 });
      const errors = run.lines.map((line) => {
        const [, before, after] = /error (\S+) -> (\S+) \(epoch/.exec(line) ?? [];
        return [Number(before), Number(after)] as const;
      });
      assert.equal(errors.length, method === "apiq-bw" ? 2 : 8);
      assert(errors.every(([before, after]) => after <= before), run.lines.join("\n"));
      assert(facts.held_out_error! < 0.99 * facts.held_out_error_before!, JSON.stringify(facts));
    }));

  Deno.test(`I-28: where no epoch is better, ${method} leaves what it began with`, () =>
    withRun({ samples: 4 }, async (run) => {
      const { facts, modules } = await learn(run, method, { lr: 30, clip_lr: 30, epochs: 1 });
      assert.equal(facts.held_out_error, facts.held_out_error_before);
      for (const { linear, shape } of run.targets.values()) {
        assert.deepEqual(modules.get(linear.path), zeroModule(linear, shape, run.seed));
      }
    }));

  Deno.test(`I-29: streams of ${method} are those of the two models`, async () => {
    const inputs = new Map<string, Float64Array>();
    await withRun({ config: { num_hidden_layers: 3 }, form: "qa-lora" }, async (run) => {
      const report = (progress: { readonly activity: string }) => {
        const block = progress.activity.replace(`${method}: `, "");
        if (inputs.has(`full ${block}`)) return; // the first report is made before the block is
        inputs.set(`full ${block}`, valuesIn(run, "full"));
        inputs.set(`quantized ${block}`, valuesIn(run, "quantized"));
      };
      const { modules } = await learn({ ...run, report }, method, { lr: 0.02, clip_lr: 0.05 });
      const full = await hiddenStates(run, run.original);
      const quantized = await hiddenStates(run, learned(run), modules);
      for (let layer = 0; layer < 3; layer++) {
        assert.deepEqual(inputs.get(`full block ${layer}`), full[layer]);
        assert.deepEqual(inputs.get(`quantized block ${layer}`), quantized[layer]);
      }
      assert.notDeepEqual(quantized[2], (await hiddenStates(run, learned(run)))[2]);
    });
  });

  Deno.test(`${method} replaces every weight in the format of the base, and fills every target`, () =>
    withRun({ bits: 3, targets: ["q_proj", "down_proj"] }, async (run) => {
      const { modules } = await learn(run, method);
      assert.deepEqual([...modules.keys()].sort(), [...run.targets.keys()].sort());
      for (const { path } of modelLinears(run.original.config)) {
        assert.deepEqual(moduleFormat(run.replaced.get(path)!), run.base.moduleFormat(path));
      }
      const last = run.reports.at(-1)!;
      assert.equal(last.done, last.total);
    }));

  Deno.test(`${method} gives the same bits again`, async () => {
    const once = () =>
      withRun({}, async (run) => {
        const { modules, facts } = await learn(run, method, { aug_loss: true });
        return { modules, facts, replaced: run.replaced };
      });
    assert.deepEqual(await once(), await once());
  });

  Deno.test(`the second target of ${method} changes what is learned`, async () => {
    const [one, two] = await Promise.all(
      [false, true].map((aug_loss) =>
        withRun({}, async (run) => {
          await learn(run, method, { aug_loss });
          return run.replaced;
        })
      ),
    );
    assert.notDeepEqual(one, two);
  });

  Deno.test(`${method} ends when told to, and leaves no file`, () => {
    const controller = new AbortController();
    return withRun({ signal: controller.signal }, async (run) => {
      const report = ({ done }: { readonly done?: number }) => {
        if (done === 3) controller.abort(new Error("enough"));
      };
      await assert.rejects(learn({ ...run, report }, method), /enough/);
    });
  });

  Deno.test(`${method} refuses what it is not defined on, in one sentence`, async () => {
    const refused = (options: RunOptions, message: RegExp, init: object = {}) =>
      withRun(options, (run) =>
        assert.rejects(
          learn(run, method, init),
          (error) => error instanceof UserError && message.test(error.message),
        ));
    await refused({ base: smallModel() }, /q_proj is not quantized; quantize with rtn/);
    await refused({ samples: 1 }, /there is 1; set calibration.samples to 2/);
    const source = await rounded(smallModel(), 2, 8);
    const blocks: ModelSource = {
      ...source,
      moduleFormat: () => ({ format: "integer", bits: 2, block_rows: 4, group_size: 8 }),
    };
    await refused({ base: blocks }, /blocks of 4 outputs; set quantizer.block_rows to 1/);
    const nf4: ModelSource = {
      ...source,
      moduleFormat: () => ({ format: "nf4", double_quantization: false }),
    };
    await refused({ base: nf4 }, /in the format nf4; .* init: rilq/);
    const infinite: ModelSource = {
      ...smallModel(),
      weight: async (linear) => {
        const weight = await smallModel().weight(linear);
        assert(weight.format === "dense");
        return { ...weight, values: weight.values.map((value, i) => i === 5 ? Infinity : value) };
      },
    };
    await refused({ original: infinite, base: source }, /outputs of block 0.* are not finite/);
    await refused({}, /diverged in epoch 1.*init.lr below 1e\+30/, { lr: 1e30, clip_lr: 1e30 });
  });

  Deno.test(`the memory of ${method} is planned`, async () => {
    const device = await openCpu({ threads: 1 });
    await withRun({ device, samples: 4 }, async (run) => {
      const counting = new CountingDevice(cpuMemory(device.info));
      const initializer = method === "apiq-bw" ? apiqBw : apiqLw;
      const init = { method, epochs: 1, aug_loss: true };
      if (method === "apiq-bw") apiqBw.rehearse(counting, run, apiqBw.parameters.parse(init));
      else apiqLw.rehearse(counting, run, apiqLw.parameters.parse(init));
      assert.equal(initializer.name, method);
      await learn(run, method, init);
      assert.equal(device.memory().current, 0);
      const [planned, held] = [counting.memory().peak, device.memory().peak];
      // What is written while threads work is held until they are done: at most a window's inputs.
      const written = 4 * 3 * run.shape.length * run.original.config.intermediateSize + 1024;
      assert(planned <= held && held <= planned + written, `${planned} planned, ${held} held`);
    });
    device.close();
  });
}

Deno.test("I-29: inputs of the layers of ApiQ-lw are those of the two models", () =>
  withRun({ samples: 4 }, async (run) => {
    const seen = new Map<string, Float64Array[]>([["inputs", []], ["reference", []]]);
    const report = ({ done, total }: { readonly done?: number; readonly total?: number }) => {
      const steps = total! / 8; // four units in each of two blocks
      if (done! % steps !== 1) return;
      for (const [name, values] of seen) values.push(valuesIn(run, name));
    };
    const init = { lr: 0.02, clip_lr: 0.05 };
    const { modules } = await learn({ ...run, report }, "apiq-lw", init);
    assert.deepEqual(seen.get("reference"), await layerInputs(run, run.original));
    assert.deepEqual(seen.get("inputs"), await layerInputs(run, learned(run), modules));
  }));

Deno.test("I-28: without clipping and with B = 0, the block is the rounded block", () =>
  withRun({ config: { num_hidden_layers: 1 } }, async (run) => {
    const init = { clip_init: 100, contains_zero: true, lr: 1e-12, clip_lr: 1e-12, epochs: 1 };
    const { facts } = await learn(run, "apiq-bw", init);
    for (const linear of modelLinears(run.original.config)) {
      assert.deepEqual(run.replaced.get(linear.path), await run.base.weight(linear));
    }
    const { samples } = run.shape;
    const { heldOut } = holdOut(samples, 0.1, "test");
    const [full, base] = await Promise.all(
      [run.original, run.base].map(async (model) =>
        windowsOf((await hiddenStates(run, model))[1]!, heldOut, samples)
      ),
    ) as [Float64Array, Float64Array];
    const wanted = meanSquare(base, full) / meanSquare(full, new Float64Array(full.length));
    assert(Math.abs(facts.held_out_error_before! / wanted - 1) < 1e-6, `${wanted}`);
  }));

Deno.test("ApiQ-lw improves on round-to-nearest where the model's inputs are what they are", () =>
  withRun({ samples: 12 }, async (run) => {
    const { modules } = await learn(run, "apiq-lw", { epochs: 12 });
    const full = (await hiddenStates(run, run.original)).at(-1)!;
    const base = (await hiddenStates(run, run.base)).at(-1)!;
    const own = (await hiddenStates(run, learned(run), modules)).at(-1)!;
    assert(meanSquare(own, full) < meanSquare(base, full));
  }));
