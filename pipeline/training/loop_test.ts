// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { join } from "node:path";
import { ReferenceDevice } from "../../kernels/reference/device.ts";
import { keyOf } from "../../kernels/random.ts";
import { batchAt } from "../data/batches.ts";
import type { Dataset, Example } from "../data/dataset.ts";
import { UserError } from "../errors.ts";
import { CHECKPOINT_FILE, LOSSES_FILE, train, type TrainingRun } from "./loop.ts";
import { bigram, initialValues, randomRows, VOCABULARY, WIDTH } from "./testing/bigram.ts";
import { optionsOf } from "./testing/options.ts";
import { trainBigram } from "./testing/train_bigram.ts";
import type { TrainingOptions } from "./options.ts";

const SEED = 9;

/** Loss and gradients of the bigram model, written out. */
function lossAndGradient(parameters: readonly Float64Array[], rows: readonly Example[]) {
  const [embedding, head] = parameters as [Float64Array, Float64Array];
  const gradients = parameters.map(({ length }) => new Float64Array(length));
  const [gradEmbedding, gradHead] = gradients as [Float64Array, Float64Array];
  const pairs = rows.flatMap(({ tokens, targets }) =>
    [...tokens].slice(1).flatMap((next, index) =>
      targets[index + 1] === 1 ? [{ token: tokens[index]!, next }] : []
    )
  );
  let loss = 0;
  for (const { token, next } of pairs) {
    const logits = Array.from({ length: VOCABULARY }, (_, id) => {
      let sum = 0;
      for (let i = 0; i < WIDTH; i++) sum += embedding[token * WIDTH + i]! * head[id * WIDTH + i]!;
      return sum;
    });
    const normalizer = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
    loss += Math.log(normalizer) - logits[next]!;
    logits.forEach((logit, id) => {
      const slope = (Math.exp(logit) / normalizer - (id === next ? 1 : 0)) / pairs.length;
      for (let i = 0; i < WIDTH; i++) {
        gradEmbedding[token * WIDTH + i]! += slope * head[id * WIDTH + i]!;
        gradHead[id * WIDTH + i]! += slope * embedding[token * WIDTH + i]!;
      }
    });
  }
  return { loss: loss / pairs.length, gradients, tokens: pairs.length };
}

/** AdamW with clipping, warm-up of 2 steps and cosine to 10 %, as its paper and PyTorch state it. */
function expectedTraining(dataset: Dataset, options: TrainingOptions, steps: number) {
  const parameters = ["embedding", "head"].map(initialValues);
  const first = parameters.map(({ length }) => new Float64Array(length));
  const second = parameters.map(({ length }) => new Float64Array(length));
  const losses: number[] = [];
  const norms: number[] = [];
  for (let step = 0; step < steps; step++) {
    const { accumulate, batch_size: batchSize, shuffle } = options;
    const rows = Array.from(
      { length: accumulate },
      (_, pass) =>
        batchAt(dataset, { batchSize, seed: SEED, shuffle, step: step * accumulate + pass }),
    ).flat();
    const { loss, gradients } = lossAndGradient(parameters, rows);
    const norm = Math.sqrt(
      gradients.reduce((sum, slab) => slab.reduce((total, g) => total + g * g, sum), 0),
    );
    const factor = Math.min(1, 0.5 / (norm + 1e-6));
    const progress = (step - 2) / (options.steps - 2);
    const rate = 0.05 * (step < 2 ? step / 2 : 0.1 + 0.9 * (1 + Math.cos(Math.PI * progress)) / 2);
    parameters.forEach((slab, index) => {
      for (let i = 0; i < slab.length; i++) {
        const g = gradients[index]![i]! * factor;
        first[index]![i] = 0.9 * first[index]![i]! + 0.1 * g;
        second[index]![i] = 0.999 * second[index]![i]! + 0.001 * g * g;
        const m = first[index]![i]! / (1 - 0.9 ** (step + 1));
        const v = second[index]![i]! / (1 - 0.999 ** (step + 1));
        if (index === 0) slab[i]! *= 1 - rate * 0.1; // the head does not decay
        slab[i]! -= rate * m / (Math.sqrt(v) + 1e-8);
      }
    });
    losses.push(loss);
    norms.push(norm);
  }
  return { parameters: parameters.flatMap((slab) => [...slab]), losses, norms };
}

async function runBigram(changes: Partial<TrainingRun> & { options: TrainingOptions }) {
  const device = new ReferenceDevice();
  const { batch_size, length } = changes.options;
  const trainable = bigram(device, batch_size, length);
  const before = device.memory().current;
  const folder = changes.checkpointFolder ?? Deno.makeTempDirSync();
  try {
    const result = await train({
      trainable,
      dataset: randomRows(20),
      seed: SEED,
      checkpointFolder: folder,
      signal: new AbortController().signal,
      report: () => {},
      log: () => {},
      ...changes,
    });
    assert.equal(device.memory().current, before, "training frees what it allocates");
    const values = await Promise.all(
      trainable.slabs.map(({ parameters }) => device.readFloats(parameters)),
    );
    const key = await device.readWords(trainable.dropoutKey!);
    const lines = Deno.readTextFileSync(join(folder, LOSSES_FILE));
    return { result, lines, key: [...key], parameters: values.flatMap((slab) => [...slab]) };
  } finally {
    if (changes.checkpointFolder === undefined) Deno.removeSync(folder, { recursive: true });
    device.close();
  }
}

function assertClose(actual: readonly number[], expected: readonly number[], tolerance: number) {
  assert.equal(actual.length, expected.length);
  actual.forEach((value, index) => {
    const error = Math.abs(value - expected[index]!);
    assert(error <= tolerance, `entry ${index}: ${value} against ${expected[index]}`);
  });
}

for (const accumulate of [1, 3]) {
  Deno.test(`parameters, losses and norms follow AdamW written out, ${accumulate} passes a step`, async () => {
    const options = optionsOf({ accumulate });
    const { result, parameters, key } = await runBigram({ options });
    const expected = expectedTraining(randomRows(20), options, options.steps);
    assertClose(result.records.map(({ loss }) => loss), expected.losses, 1e-12);
    assertClose(result.records.map(({ grad_norm }) => grad_norm), expected.norms, 1e-12);
    assertClose(parameters, expected.parameters, 1e-12);
    assert.deepEqual(
      result.records.map(({ step }) => step),
      [...Array(12).keys()].map((n) => n + 1),
    );
    assert(expected.norms.some((norm) => norm > 0.5), "clipping takes part in the test");
    assert.deepEqual(key, keyOf(SEED, "dropout", 12 * accumulate - 1));
  });
}

Deno.test("one pass of 4 rows equals two passes of 2 rows", async () => {
  const whole = await runBigram({ options: optionsOf({ batch_size: 4, shuffle: false }) });
  const split = await runBigram({
    options: optionsOf({ batch_size: 2, accumulate: 2, shuffle: false }),
  });
  assertClose(split.parameters, whole.parameters, 1e-12);
  assert.deepEqual(
    split.result.records.map(({ tokens }) => tokens),
    whole.result.records.map(({ tokens }) => tokens),
  );
});

Deno.test("how often it logs, checkpoints and resumes changes no bit", async () => {
  const reference = await runBigram({ options: optionsOf({}) });
  for (const [log_every, checkpoint_every] of [[1, 1], [5, 3], [100, 7]] as const) {
    const run = await runBigram({ options: optionsOf({ log_every, checkpoint_every }) });
    assert.deepEqual(run.parameters, reference.parameters);
    assert.equal(run.lines, reference.lines);
  }
});

Deno.test("aborted in any step and continued, it ends with the same bits", async () => {
  const options = optionsOf({ log_every: 4, checkpoint_every: 5, evaluate_every: 3 });
  const evaluation = randomRows(5, 2);
  const rows = randomRows(21);
  const reference = await runBigram({ options, evaluation, dataset: rows });
  for (let stop = 1; stop < options.steps; stop++) {
    const checkpointFolder = Deno.makeTempDirSync();
    const controller = new AbortController();
    let reads = 0;
    // A signal that arrives while step `stop` is being queued.
    const dataset: Dataset = {
      ...rows,
      example(index) {
        if (++reads === 3 * stop) controller.abort(new Error("stop"));
        return rows.example(index);
      },
    };
    const { signal } = controller;
    await assert.rejects(
      runBigram({ options, evaluation, dataset, signal, checkpointFolder }),
      /^Error: stop$/,
    );
    const resumed = await runBigram({ options, evaluation, dataset: rows, checkpointFolder });
    assert.equal(resumed.result.resumedFrom, stop);
    assert.deepEqual(resumed.parameters, reference.parameters);
    assert.equal(resumed.lines, reference.lines);
    Deno.removeSync(checkpointFolder, { recursive: true });
  }
});

Deno.test("killed with SIGKILL twice and continued, it ends with the same bits", async () => {
  const steps = 40;
  const whole = Deno.makeTempDirSync();
  const reference = await trainBigram(whole, steps);
  const folder = Deno.makeTempDirSync();
  const script = new URL("./testing/train_bigram.ts", import.meta.url).href;
  // 6 rows a step, a checkpoint every 7 steps: row 100 is read in step 17, or 14 + 17.
  for (const _kill of [1, 2]) {
    const child = new Deno.Command("deno", {
      args: [
        "run",
        "--allow-read",
        "--allow-write",
        "--allow-env",
        script,
        folder,
        `${steps}`,
        "100",
      ],
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    for await (const _line of child.stdout) child.kill("SIGKILL");
    assert.equal((await child.status).signal, "SIGKILL");
  }
  Deno.writeTextFileSync(join(folder, `${CHECKPOINT_FILE}.0.tmp`), "killed while writing");
  const resumed = await trainBigram(folder, steps);
  assert.equal(resumed.result.resumedFrom, 28);
  assert.deepEqual(resumed.parameters, reference.parameters);
  for (const file of [LOSSES_FILE, CHECKPOINT_FILE]) {
    assert.deepEqual(Deno.readFileSync(join(folder, file)), Deno.readFileSync(join(whole, file)));
  }
  assert.deepEqual([...Deno.readDirSync(folder)].length, 2, "no temporary file is left");
  for (const path of [whole, folder]) Deno.removeSync(path, { recursive: true });
});

Deno.test("evaluation losses are means over the evaluation rows after the update", async () => {
  const evaluation = randomRows(5, 2);
  const options = optionsOf({ evaluate_every: 6 });
  const { result } = await runBigram({ options, evaluation });
  const rows = Array.from({ length: 5 }, (_, index) => evaluation.example(index));
  for (const { step, evaluation_loss } of result.records) {
    if (step % 6 !== 0) {
      assert.equal(evaluation_loss, undefined);
      continue;
    }
    const { parameters } = expectedTraining(randomRows(20), options, step);
    const half = parameters.length / 2;
    const slabs = [parameters.slice(0, half), parameters.slice(half)]
      .map((slab) => Float64Array.from(slab));
    assertClose([evaluation_loss!], [lossAndGradient(slabs, rows).loss], 1e-12);
  }
});

Deno.test("divergence names the step and keeps the last good checkpoint", async () => {
  const folder = Deno.makeTempDirSync();
  const options = optionsOf({
    optimizer: { ...optionsOf({}).optimizer, lr: 1e300 },
    clip: null,
    checkpoint_every: 1,
  });
  await assert.rejects(
    runBigram({ options, checkpointFolder: folder }),
    (error) =>
      error instanceof UserError &&
      /^Training diverged: the loss is NaN in step 3, with learning rate 1e\+300; lower/
        .test(error.message),
  );
  // Warm-up makes step 1 a step of rate 0 and step 2 the one that throws the parameters out.
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
  assert.deepEqual(names, [CHECKPOINT_FILE, LOSSES_FILE]);
  assert.equal(Deno.readTextFileSync(join(folder, LOSSES_FILE)).split("\n").length, 3);
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("a broken start, other settings and rows without targets are refused", async () => {
  const device = new ReferenceDevice();
  const trainable = bigram(device, 3, 6);
  device.write(trainable.slabs[0]!.parameters, new Float64Array(28).fill(NaN), 0);
  await assert.rejects(
    runBigram({ options: optionsOf({}), trainable }).finally(() => device.close()),
    /^UserError: Training cannot start: the loss is NaN in step 1/,
  );

  const folder = Deno.makeTempDirSync();
  await runBigram({ options: optionsOf({}), checkpointFolder: folder });
  await assert.rejects(
    runBigram({ options: optionsOf({ clip: 0.25 }), checkpointFolder: folder }),
    /left by training with other settings/,
  );
  await assert.rejects(
    runBigram({ options: optionsOf({}), seed: SEED + 1, checkpointFolder: folder }),
    /left by training with other settings/,
  );
  Deno.writeTextFileSync(join(folder, LOSSES_FILE), "");
  await assert.rejects(
    runBigram({ options: optionsOf({}), checkpointFolder: folder }),
    /does not hold the 12 steps/,
  );
  Deno.removeSync(folder, { recursive: true });

  const rows = randomRows(20);
  const dataset: Dataset = {
    ...rows,
    example(index) {
      const { tokens } = rows.example(index);
      return { tokens, targets: new Uint8Array(tokens.length) };
    },
  };
  await assert.rejects(
    runBigram({ options: optionsOf({}), dataset }),
    /nothing to learn in step 1/,
  );
  await assert.rejects(
    runBigram({ options: optionsOf({}), checkpointFolder: "/nonexistent" }),
    /^UserError: Cannot write/,
  );
});
