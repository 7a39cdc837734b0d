import assert from "node:assert/strict";
import { Ledger } from "./ledger.ts";

Deno.test("peaks are the most that the accounts in question hold together", () => {
  const ledger = new Ledger();
  const first = ledger.take("device", "first", 10);
  ledger.take("host", "file", 7);
  first.drop();
  first.drop();
  ledger.take("device", "second", 6);
  assert.equal(ledger.peak(["device"]), 10);
  assert.equal(ledger.peak(["host"]), 7);
  assert.equal(ledger.peak(["device", "host"]), 17);
  assert.equal(ledger.current(["device"]), 6);
  assert.equal(ledger.peak([]), 0);
});

Deno.test("lifetimes say in which phases something was held, and whether at the peak", () => {
  const ledger = new Ledger();
  ledger.take("device", "weights", 5);
  ledger.phase("training");
  const activations = ledger.take("device", "activations", 4);
  ledger.phase("saving");
  activations.drop();
  ledger.take("device", "copy", 1);
  assert.deepEqual(ledger.phases, ["start", "training", "saving"]);
  assert.deepEqual(
    ledger.lifetimes(["device"]).map(({ label, from, to, dropped, atPeak }) => [
      label,
      ...[from, to, dropped, atPeak],
    ]),
    [
      ["weights", 0, 2, false, true],
      ["activations", 1, 2, true, true],
      ["copy", 2, 2, false, false],
    ],
  );
});
