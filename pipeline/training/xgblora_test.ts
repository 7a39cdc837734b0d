// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { openCpu } from "../../kernels/cpu/device.ts";
import type { Device, Tensor } from "../../kernels/device.ts";
import { ReferenceDevice } from "../../kernels/reference/device.ts";
import type { Dataset } from "../data/dataset.ts";
import { UserError } from "../errors.ts";
import { writeRows } from "./batch.ts";
import type { TrainingRun } from "./loop.ts";
import type { Rounds } from "./rounds.ts";
import { randomRows } from "./testing/bigram.ts";
import { blockOf, BLOCKS, type BoostedModel, SEED } from "./testing/boosted_model.ts";
import { optionsOf } from "./testing/options.ts";
import { boost, OPTIONS, PAIR_FORMS, SCHEME, snapshot } from "./testing/train_boosted.ts";
import { drawBlocks } from "./xgblora.ts";

/** The losses of fixed rows under the model as it is. */
function lossesNow({ batch, device }: BoostedModel): Tensor {
  const rows = randomRows(3, 2);
  writeRows(batch, [0, 1, 2].map((index) => rows.example(index)), 1);
  device.run(batch.forward);
  return snapshot(device, batch.losses);
}

const DEVICES: Readonly<Record<string, () => Promise<Device>>> = {
  reference: () => Promise.resolve(new ReferenceDevice()),
  cpu: () => openCpu(),
};

for (const [name, open] of Object.entries(DEVICES)) {
  for (const form of PAIR_FORMS) {
    Deno.test(`one round over all blocks is plain training, bit by bit: ${form}, ${name}`, async () => {
      const model = { form, rank: 2, dropout: 0.2 };
      const plain = await boost(
        { scheme: null, model, device: await open() },
        (_, { modules }, { records }) => ({ modules, records }),
      );
      const scheme = { ...SCHEME, rounds: 1, layers: "all", penalty: 0 } as const;
      const boosted = await boost(
        { scheme, model, device: await open() },
        (_, { modules }, { records }) => ({ modules, records }),
      );
      assert.deepEqual(boosted, plain);
      assert.notEqual(plain.records[0]?.loss, plain.records.at(-1)?.loss);
    });
  }
}

Deno.test("the model before a round is the model after the merge of the round before", async () => {
  const merged: Tensor[] = [];
  const before: Tensor[] = [];
  const trained: Tensor[] = [];
  const watch = (rounds: Rounds, boosted: BoostedModel): Partial<Rounds> => ({
    begin(round) {
      rounds.begin(round);
      before.push(lossesNow(boosted));
    },
    end(round) {
      trained.push(lossesNow(boosted));
      rounds.end(round);
      merged.push(lossesNow(boosted));
    },
  });
  await boost({ scheme: SCHEME, watch }, async ({ device }) => {
    const read = (tensors: readonly Tensor[]) =>
      Promise.all(tensors.map((tensor) => device.readFloats(tensor)));
    const [b, t, m] = [await read(before), await read(trained), await read(merged)];
    assert.deepEqual([b.length, t.length, m.length], [4, 4, 4]);
    assert.deepEqual(b.slice(1), m.slice(0, -1));
    for (const round of b.keys()) {
      // With a step size of 1 the merge itself changes nothing either, but for rounding.
      t[round]!.forEach((loss, index) => assert.ok(Math.abs(loss - m[round]![index]!) < 1e-12));
      assert.notDeepEqual(t[round], b[round], "the round changes the model");
    }
  });
});

Deno.test("only the blocks of a round change in it; boosters of the others stay exactly zero", async () => {
  /** Copies of the boosters at the end of every round, and of what earlier rounds left after it. */
  const ends: { readonly boosters: Map<string, Tensor>; readonly earlier: Map<string, Tensor> }[] =
    [];
  const watch = (rounds: Rounds, { device, space, boosters }: BoostedModel): Partial<Rounds> => ({
    end(round) {
      const trained = [...space.names()].map((name) =>
        [name, snapshot(device, space.get(name)!.value)] as const
      );
      rounds.end(round);
      const joined = [...boosters!.state].map(([name, tensor]) =>
        [name, snapshot(device, tensor)] as const
      );
      ends.push({ boosters: new Map(trained), earlier: new Map(joined) });
    },
  });
  const model = { form: "qa-blora", dropout: 0.2 };
  await boost({ scheme: SCHEME, model, watch }, async ({ device }) => {
    const zeros = ({ size }: Tensor): ArrayLike<number> => new Float64Array(size);
    let previous = new Map<string, ArrayLike<number>>();
    for (const [round, { boosters, earlier }] of ends.entries()) {
      const drawn = drawBlocks({ seed: SEED, round, blocks: BLOCKS, count: 2 });
      for (const [name, tensor] of boosters) {
        const moved = !equal(await device.readFloats(tensor), zeros(tensor));
        assert.equal(moved, drawn.includes(blockOf(name)), `booster ${name} in round ${round}`);
      }
      const values = new Map<string, ArrayLike<number>>();
      for (const [name, tensor] of earlier) {
        values.set(name, await device.readFloats(tensor));
        const changed = !equal(values.get(name)!, previous.get(name) ?? zeros(tensor));
        assert.equal(changed, drawn.includes(blockOf(name)), `${name} in round ${round}`);
      }
      previous = values;
    }
    assert.equal(ends.length, 4);
  });
});

function equal(left: ArrayLike<number>, right: ArrayLike<number>): boolean {
  return Array.from(left).every((value, index) => value === right[index]);
}

Deno.test("every booster starts at B = 0 with an A of its own, the first with that of the adapter", async () => {
  const starts: Map<string, Tensor>[] = [];
  const watch = (rounds: Rounds, { device, space }: BoostedModel): Partial<Rounds> => ({
    begin(round) {
      rounds.begin(round);
      const factors = [...space.names()].map((name) =>
        [name, snapshot(device, space.get(name)!.value)] as const
      );
      starts.push(new Map(factors));
    },
  });
  const scheme = { ...SCHEME, layers: "all" } as const;
  await boost({ scheme, watch }, async ({ device, first }) => {
    const seen = new Set<number>();
    for (const [round, factors] of starts.entries()) {
      for (const [path, { a, shape }] of first.modules) {
        const [left, right] = [
          Array.from(await device.readFloats(factors.get(`${path}.lora_A`)!)),
          await device.readFloats(factors.get(`${path}.lora_B`)!),
        ];
        assert.ok(right.every((value) => value === 0));
        if (round === 0) assert.deepEqual(left, [...a!]);
        const bound = 1 / Math.sqrt(shape.a![1]);
        for (const value of left) {
          assert.ok(Math.abs(value) <= bound && !seen.has(value));
          seen.add(value);
        }
      }
    }
    assert.equal(starts.length, 4);
  });
});

Deno.test("optimizer and bias corrections start anew in every round, the learning rate does not", async () => {
  // Adam's first step moves every value by the learning rate, whatever the gradient is.
  const options = optionsOf({
    steps: 4,
    clip: null,
    optimizer: { ...OPTIONS.optimizer, weight_decay: 0, epsilon: 1e-30 },
    schedule: { name: "linear", warmup_steps: 0, warmup_ratio: 0, minimum_ratio: 0 },
  });
  const largest: Tensor[] = [];
  const watch = (rounds: Rounds, { device, space }: BoostedModel): Partial<Rounds> => ({
    end(round) {
      const path = "model.layers.0.self_attn.v_proj.lora_B";
      largest.push(snapshot(device, space.get(path)!.value));
      rounds.end(round);
    },
  });
  const scheme = { ...SCHEME, layers: "all", penalty: 0 } as const;
  await boost({ scheme, options, watch }, async ({ device }, _, { records }) => {
    assert.deepEqual(records.map(({ lr }) => lr), [1, 0.75, 0.5, 0.25].map((f) => f * 0.05));
    for (const [round, tensor] of largest.entries()) {
      for (const value of await device.readFloats(tensor)) {
        assert.ok(Math.abs(Math.abs(value) - records[round]!.lr) < 1e-12, `round ${round}`);
      }
    }
  });
});

/** Steps to stop after: in the middle of a round of three, at its end, and in the next. */
const STOPS = { reference: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], cpu: [2, 3, 4] } as const;

for (const name of ["reference", "cpu"] as const) {
  Deno.test(`aborted in a round or at its end and continued, the same bits: ${name}`, async () => {
    const options = optionsOf({ log_every: 4, checkpoint_every: 5, evaluate_every: 3 });
    const model = { form: "qa-blora", dropout: 0.2 };
    const rows = randomRows(21);
    const loop = { evaluation: randomRows(5, 2), dataset: rows };
    const open = DEVICES[name]!;
    const run = async (changes: Partial<TrainingRun> = {}, scheme = SCHEME) =>
      await boost(
        { scheme, options, model, device: await open(), loop: { ...loop, ...changes } },
        (_, { modules }, { records, resumedFrom }) => ({ modules, records, resumedFrom }),
      );
    const whole = await run();
    for (const stop of STOPS[name]) {
      const checkpointFolder = await Deno.makeTempDir();
      const controller = new AbortController();
      let reads = 0;
      const dataset: Dataset = {
        ...rows,
        example(index) {
          if (++reads === 3 * stop) controller.abort(new Error("stop"));
          return rows.example(index);
        },
      };
      const { signal } = controller;
      await assert.rejects(run({ dataset, signal, checkpointFolder }), /^Error: stop$/);
      assert.deepEqual(await run({ checkpointFolder }), { ...whole, resumedFrom: stop });
      await assert.rejects(
        run({ checkpointFolder }, { ...SCHEME, penalty: 0.02 }),
        /left by training with other settings/,
      );
      await Deno.remove(checkpointFolder, { recursive: true });
    }
  });
}

Deno.test("equal seeds draw equal blocks, other seeds and rounds others, all equally often", () => {
  const draw = (seed: number, round: number) => drawBlocks({ seed, round, blocks: 32, count: 11 });
  assert.deepEqual(draw(1, 3), draw(1, 3));
  assert.notDeepEqual(draw(1, 3), draw(2, 3));
  assert.notDeepEqual(draw(1, 3), draw(1, 4));
  const times = Array.from({ length: 32 }, () => 0);
  const rounds = 3200;
  for (let round = 0; round < rounds; round++) {
    const drawn = draw(7, round);
    assert.equal(new Set(drawn).size, 11);
    assert.deepEqual(drawn, drawn.toSorted((left, right) => left - right));
    for (const block of drawn) times[block]!++;
  }
  // 1100 expected; five standard deviations of a binomial count are 135.
  for (const count of times) assert.ok(Math.abs(count - 1100) < 135, `${count}`);
});

Deno.test("every round says which blocks it trains", async () => {
  await boost({ scheme: SCHEME }, ({ log }) => {
    const [first = "", ...rest] = log;
    const drawn = drawBlocks({ seed: SEED, round: 0, blocks: BLOCKS, count: 2 });
    assert.equal(first, `round 1 of 4 trains 2 blocks: ${drawn.join(", ")}`);
    assert.equal(rest.length, 3);
  });
});

Deno.test("more blocks than there are, and rounds that do not divide the steps, are refused", async () => {
  await assert.rejects(
    boost({ scheme: { ...SCHEME, layers: 5 } }, () => {}),
    (error) =>
      error instanceof UserError &&
      error.message ===
        "scheme.layers is 5, but the model has 4 blocks to draw from; give at most 4, or all",
  );
  await assert.rejects(
    boost({ scheme: { ...SCHEME, rounds: 5 } }, () => {}),
    /^RangeError: 5 rounds do not divide 12 steps$/,
  );
});
