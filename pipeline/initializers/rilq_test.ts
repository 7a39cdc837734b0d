// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { CountingDevice } from "../../kernels/counting/device.ts";
import { openCpu } from "../../kernels/cpu/device.ts";
import { cpuMemory } from "../../kernels/cpu/memory_model.ts";
import { RandomStream } from "../../kernels/random.ts";
import { ReferenceDevice } from "../../kernels/reference/device.ts";
import { UserError } from "../errors.ts";
import { modelLinears } from "../models/architecture.ts";
import { fillLanguageModel, type ModelSource } from "../models/language_model.ts";
import { nf4 } from "../quantizers/nf4.ts";
import { gaussianModule } from "./gaussian.ts";
import { holdOut } from "./held_out.ts";
import type { InitializedModel } from "./model_initializer.ts";
import { rilq, type RilqParameters } from "./rilq.ts";
import { RilqStudent } from "./rilq_student.ts";
import { teacherStates } from "./rilq_teacher.ts";
import { studentLoss } from "./rilq_training.ts";
import { smallModel, type TestRun, withRun, withWeights } from "./testing/models.ts";
import { hiddenStates, meanSquare, outputs, windowsOf } from "./testing/whole_model.ts";

function parametersOf(options: object = {}): RilqParameters {
  return rilq.parameters.parse({
    method: "rilq",
    steps: 10,
    evaluate_every: 2,
    accumulate: 2,
    lr: 1e-2,
    ...options,
  });
}

function learn(run: TestRun, options: object = {}): Promise<InitializedModel> {
  return rilq.initializeModel(run, parametersOf(options));
}

/** Mean of some losses or states on the held-out windows. */
function heldOut({ shape: { samples } }: TestRun, values: Float64Array): Float64Array {
  return windowsOf(values, holdOut(samples, 0.2, "test").heldOut, samples);
}

function mean(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function close(found: number | undefined, wanted: number, tolerance = 1e-9): void {
  assert(Math.abs(found! - wanted) <= tolerance * Math.abs(wanted), `${found} is not ${wanted}`);
}

Deno.test("I-30: before training the loss is that of the quantized model", () =>
  withRun({ samples: 10 }, async (run) => {
    const { facts } = await learn(run, { hidden_weight: 0.3, lm_weight: 0.7, steps: 1 });
    const [full, base] = [await outputs(run, run.original), await outputs(run, run.base)];
    const hidden = meanSquare(heldOut(run, base.final), heldOut(run, full.final));
    close(facts.held_out_hidden_error_before, hidden);
    close(facts.held_out_loss_before, 0.3 * hidden + 0.7 * mean(heldOut(run, base.losses)));
  }));

Deno.test("I-30: before the final normalization, too", () =>
  withRun({ samples: 10 }, async (run) => {
    const { facts } = await learn(run, { hidden_states: "last_block", steps: 1 });
    const full = (await hiddenStates(run, run.original)).at(-1)!;
    const base = (await hiddenStates(run, run.base)).at(-1)!;
    close(
      facts.held_out_hidden_error_before,
      meanSquare(heldOut(run, base), heldOut(run, full)),
    );
  }));

for (const hidden_states of ["final_norm", "last_block"] as const) {
  Deno.test(`I-30: a student that is its teacher has nothing to learn, ${hidden_states}`, () =>
    withRun({ samples: 5, base: smallModel() }, async (run) => {
      const { facts, modules } = await learn(run, { lm_weight: 0, hidden_states });
      assert.equal(facts.held_out_hidden_error_before, 0);
      assert.equal(facts.held_out_loss, 0);
      assert.equal(facts.best_step, 0);
      for (const { linear, shape } of run.targets.values()) {
        assert.deepEqual(modules.get(linear.path), gaussianModule(linear, shape, run.seed));
      }
    }));
}

Deno.test("I-31: the adapters have the loss that was reported, and the base is as it was", () =>
  withRun({ samples: 10, form: "q-blora" }, async (run) => {
    const before = await weightsOf(run.base);
    const { facts, modules } = await learn(run);
    assert(facts.held_out_loss! < 0.99 * facts.held_out_loss_before!, JSON.stringify(facts));
    assert(facts.best_step! > 0);
    const [full, own] = [
      await outputs(run, run.original),
      await outputs(run, run.base, modules),
    ];
    const hidden = meanSquare(heldOut(run, own.final), heldOut(run, full.final));
    // Adapters are returned in f32, and trained in float64 here.
    close(facts.held_out_hidden_error, hidden, 1e-5);
    close(facts.held_out_loss, 0.5 * hidden + 0.5 * mean(heldOut(run, own.losses)), 1e-5);
    assert.equal(run.replaced.size, 0);
    assert.deepEqual(await weightsOf(run.base), before);
  }));

Deno.test("I-32: doubling both weights leaves the trajectory, up to Adam's epsilon", async () => {
  const [steps, lr] = [6, 1e-2];
  const learned = (hidden_weight: number, lm_weight: number) =>
    withRun({ samples: 5 }, async (run) => {
      const { modules } = await learn(run, { hidden_weight, lm_weight, steps, lr });
      return [...modules.values()].flatMap(({ a, b }) => [...a!, ...b]);
    });
  const furthest = (left: number[], right: number[]) =>
    Math.max(...left.map((value, index) => Math.abs(value - right[index]!))) / (steps * lr);
  const one = await learned(0.5, 0.5);
  assert(furthest(one, await learned(1, 1)) < 1e-3);
  assert(furthest(one, await learned(1, 0.5)) > 0.1); // one weight alone is another objective
});

for (const hidden_states of ["final_norm", "last_block"] as const) {
  for (const activation_checkpointing of [false, true]) {
    const name = `${hidden_states}${activation_checkpointing ? ", activations again" : ""}`;
    Deno.test(`RILQ: finite differences of the objective, ${name}`, () =>
      withRun({ samples: 2, form: "qa-lora" }, async (run) => {
        const options = parametersOf({
          hidden_states,
          activation_checkpointing,
          hidden_weight: 0.8,
          accumulate: 1,
        });
        using teacher = await teacherStates(run, hidden_states === "final_norm", () => {});
        const student = new RilqStudent(run.device, run, options);
        await fillLanguageModel(student.model, run.base);
        const { device, slabs, forwardBackward } = student.batch;
        assert.equal(slabs.length, 1);
        const [{ parameters, gradients }] = slabs as [typeof slabs[number]];
        const random = new RandomStream(2, "start");
        const start = Float64Array.from(
          { length: parameters.size },
          (_, i) => 0.2 * random.normal(i),
        );
        device.write(parameters, start);
        await studentLoss(run, student, teacher, [1], options); // leaves window 1 in the inputs
        device.write(gradients, new Float64Array(gradients.size));
        device.run(forwardBackward);
        const gradient = Float64Array.from(await device.readFloats(gradients));
        const at = async (factor: number) => {
          device.write(
            parameters,
            start.map((value, i) => value + factor * random.normal(1000 + i)),
          );
          return (await studentLoss(run, student, teacher, [1], options)).loss;
        };
        const slope = (await at(1e-5) - await at(-1e-5)) / 2e-5;
        const expected = gradient.reduce(
          (sum, value, i) => sum + value * random.normal(1000 + i),
          0,
        );
        close(slope, expected, 1e-6);
        student.release();
      }));
  }
}

Deno.test("RILQ stops when the held-out loss improves no more, and takes the last look", () =>
  withRun({ samples: 5 }, async (run) => {
    const worse = await learn(run, { lr: 10, steps: 100, patience: 2 });
    assert.equal(worse.facts.steps, 4);
    assert.equal(worse.facts.best_step, 0);
    for (const { linear, shape } of run.targets.values()) {
      const start = gaussianModule(linear, shape, run.seed);
      assert.deepEqual(worse.modules.get(linear.path), start);
    }
    const odd = await learn(run, { steps: 3, evaluate_every: 2, lr: 1e-3 });
    assert.equal(odd.facts.best_step, 3);
    assert.match(run.lines.at(-1)!, /^step 3: held-out loss/);
  }));

Deno.test("RILQ takes any base, and gives the same bits again", async () => {
  const config = { hidden_size: 64, intermediate_size: 64 };
  const source = smallModel(config);
  const weights = new Map();
  for (const linear of modelLinears(source.config)) {
    const weight = await source.weight(linear);
    assert(weight.format === "dense");
    const parameters = nf4.parameters.parse({ method: "nf4" });
    const { rows, columns, path } = linear;
    weights.set(path, nf4.quantize(weight.values, rows, columns, parameters, path));
  }
  const once = () =>
    withRun({ original: source, base: withWeights(source, weights), samples: 10 }, async (run) => {
      const { facts, modules } = await learn(run, { steps: 8, lr: 1e-3, lm_weight: 0 });
      assert(facts.held_out_loss! < facts.held_out_loss_before!);
      return { facts, modules };
    });
  assert.deepEqual(await once(), await once());
});

Deno.test("RILQ refuses what it is not defined on, in one sentence", async () => {
  const refused = (options: object, message: RegExp, init: object = {}) =>
    withRun(options, (run) =>
      assert.rejects(
        learn(run, init),
        (error) => error instanceof UserError && message.test(error.message),
      ));
  await refused({ samples: 1 }, /there is 1; set calibration.samples to 2/);
  await refused({ length: 1 }, /have 1 token; set calibration.length to 2/);
  await refused({}, /diverged before step 2: .* init.lr below 1e\+300/, { lr: 1e300 });
  const none = { method: "rilq", hidden_weight: 0, lm_weight: 0 };
  assert.match(rilq.parameters.safeParse(none).error!.message, /nothing to train for/);
});

Deno.test("RILQ ends when told to, and leaves no file", async () => {
  for (const activity of ["rilq: full-precision model", "rilq: training adapters"]) {
    const controller = new AbortController();
    await withRun({ signal: controller.signal }, async (run) => {
      const report = (progress: { readonly activity: string }) => {
        if (progress.activity === activity) controller.abort(new Error("enough"));
      };
      await assert.rejects(learn({ ...run, report }), /enough/);
      assert.equal(run.device.memory().current, 0);
    });
  }
});

Deno.test("RILQ reads windows from files: the teacher is never whole", () =>
  withRun({ samples: 4, device: new ReferenceDevice() }, async (run) => {
    let largest = 0;
    const states = await teacherStates(run, true, () => {
      largest = Math.max(largest, run.device.memory().current);
    });
    assert.equal(largest, 0); // between two blocks the device holds nothing
    const full = await outputs(run, run.original);
    const { length } = run.shape;
    const size = length * run.original.config.hiddenSize;
    for (let window = 0; window < 4; window++) {
      const wanted = full.final.subarray(window * size, (window + 1) * size);
      assert.deepEqual(Float64Array.from(states.read(window)), Float64Array.from(wanted));
    }
    assert.deepEqual([...run.files.keys()], ["teacher"]);
    states[Symbol.dispose]();
  }));

Deno.test("the memory of RILQ is planned", async () => {
  const device = await openCpu({ threads: 1 });
  for (const activation_checkpointing of [false, true]) {
    await withRun({ device, samples: 5 }, async (run) => {
      const counting = new CountingDevice(cpuMemory(device.info));
      const options = parametersOf({ activation_checkpointing, steps: 2 });
      rilq.rehearse(counting, run, options);
      await rilq.initializeModel(run, options);
      assert.equal(device.memory().current, 0);
      if (activation_checkpointing) return; // the peak is that of the first run
      const [planned, held] = [counting.memory().peak, device.memory().peak];
      assert(
        Math.abs(planned / held - 1) < 0.01,
        `${planned} bytes are planned, ${held} were held`,
      );
    });
  }
  device.close();
});

async function weightsOf(source: ModelSource) {
  const weights = [];
  for (const linear of modelLinears(source.config)) {
    weights.push(structuredClone(await source.weight(linear)));
  }
  return weights;
}
