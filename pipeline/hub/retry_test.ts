import assert from "node:assert/strict";
import { requestedPause, retrying, TransferFault } from "./retry.ts";
import { FakeClock } from "./testing/fake_clock.ts";

const TODAY = Date.parse("2026-11-21T14:00:00Z");

for (
  const [headers, pause] of [
    [{}, null],
    [{ "retry-after": "12" }, 12_000],
    [{ "retry-after": "Sat, 21 Nov 2026 14:01:30 GMT" }, 90_000],
    [{ "retry-after": "Sat, 21 Nov 2026 13:00:00 GMT" }, 0],
    [{ "retry-after": "soon" }, null],
    [{ "retry-after": "soon", ratelimit: '"api";r=0;t=20' }, 20_000],
    [{ ratelimit: '"api"; r=0; t=7' }, 7000],
    [{ ratelimit: '"api";r=0' }, null],
  ] as const
) {
  Deno.test(`requestedPause(${JSON.stringify(headers)})`, () => {
    assert.equal(requestedPause(new Headers(headers as Record<string, string>), TODAY), pause);
  });
}

/** The pauses of an action that fails a number of times, with what is drawn for each. */
async function pausesOf(failures: number, draw: number): Promise<readonly number[]> {
  const clock = new FakeClock();
  let count = 0;
  const attempt = () =>
    ++count <= failures
      ? Promise.reject(new TransferFault("failed", { progressed: count % 5 === 0 }))
      : Promise.resolve(count);
  assert.equal(await retrying(attempt, { clock, random: () => draw }), failures + 1);
  return clock.pauses;
}

Deno.test("pauses double, half of each at random, and start again after progress", async () => {
  const doubling = [1, 2, 4, 8].map((seconds) => seconds * 1000);
  assert.deepEqual(await pausesOf(4, 0), doubling.map((pause) => pause / 2));
  assert.deepEqual(await pausesOf(4, 1), doubling);
  assert.deepEqual(await pausesOf(8, 1), [...doubling, ...doubling]);
});

Deno.test("what is no fault of the network is thrown at once", async () => {
  const error = new RangeError("a defect");
  const clock = new FakeClock();
  await assert.rejects(
    retrying(() => Promise.reject(error), { clock, random: () => 0 }),
    (thrown) => thrown === error,
  );
  assert.deepEqual(clock.pauses, []);
});

Deno.test("a signal ends a pause", async () => {
  const clock = new FakeClock();
  const signal = AbortSignal.abort(new Error("stopped"));
  await assert.rejects(
    retrying(() => Promise.reject(new TransferFault("x")), { clock, random: () => 0, signal }),
    /stopped/,
  );
});
