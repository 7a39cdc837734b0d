/**
 * Every fault of a network ends in a retry that succeeds, or in one clear error; and no partial file is
 * ever taken for a whole one.
 */

import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { UserError } from "../errors.ts";
import { resolveHub } from "./resolve.ts";
import type { Fault } from "./testing/fake_hub.ts";
import { FakeRepository } from "./testing/fake_repository.ts";
import { checkCache, type Fixture, namesBelow, someBytes, withHub } from "./testing/fixture.ts";

const SIZE = 3000;
const WEIGHTS = someBytes(SIZE);
const MODEL = new FakeRepository("models/org/name", {
  "config.json": '{"model_type": "llama"}\n',
  "model.safetensors": WEIGHTS,
  "special_tokens_map.json": "[]",
  "tokenizer.json": "{}\n",
});
const DIGEST = MODEL.file("model.safetensors")?.lfs ?? "";

/** Requests by what they are for. */
const REVISION = /^hub \/api\/.*\/revision\//;
const TREE = /^hub \/api\/.*\/tree\//;
const SECOND_PAGE = /cursor=/;
const SMALL = /^hub .*\/resolve\/.*\/config\.json$/;
const LARGE = /^hub .*\/resolve\/.*\/model\.safetensors$/;
const CDN = /^cdn /;

const status = (status: number, headers: Record<string, string> = {}): Fault => ({
  kind: "status",
  status,
  headers,
});
const cut = (bytes: number): Fault => ({ kind: "cut", bytes });
const content = (bytes: Uint8Array<ArrayBuffer>): Fault => ({ kind: "content", content: bytes });
const changed = WEIGHTS.map((value, index) => index === SIZE - 1 ? value ^ 1 : value);
const json = (value: unknown): Fault => content(new TextEncoder().encode(JSON.stringify(value)));

/** Faults, one request after the other, with the pauses (ms) and ranges that they cost. */
interface Recovery {
  readonly name: string;
  readonly faults: (fixture: Fixture) => (readonly [RegExp, Fault, number?])[];
  /** Half of the pause is fixed, half random; the tests draw the middle. */
  readonly pauses: readonly number[];
  /** Ranges asked of the CDN. */
  readonly ranges?: readonly (string | null)[];
}

const RECOVERIES: readonly Recovery[] = [
  { name: "503 about the revision", faults: () => [[REVISION, status(503)]], pauses: [750] },
  {
    name: "five faults in a row",
    faults: () => [500, 502, 503, 504, 408].map((code) => [REVISION, status(code)] as const),
    pauses: [750, 1500, 3000, 6000, 12000],
  },
  {
    name: "429 with Retry-After in seconds",
    faults: () => [[TREE, status(429, { "retry-after": "7" })]],
    pauses: [7000],
  },
  {
    name: "429 with the Hub's RateLimit",
    faults: () => [[SMALL, status(429, { ratelimit: '"resolvers";r=0;t=55' })]],
    pauses: [55_000],
  },
  { name: "a list that is cut", faults: () => [[TREE, cut(40)]], pauses: [750] },
  {
    name: "503 in the middle of a list",
    faults: () => [[SECOND_PAGE, status(503)]],
    pauses: [750],
  },
  {
    name: "no answer",
    faults: ({ clock }) => [[REVISION, { kind: "stall", stalled: () => clock.expire() }]],
    pauses: [750],
  },
  { name: "502 before the redirect", faults: () => [[LARGE, status(502)]], pauses: [750] },
  { name: "a small file that is cut", faults: () => [[SMALL, cut(5)]], pauses: [750] },
  {
    name: "connections that are cut, each later than the last",
    faults: () => [1000, 500, 1, 1, 1, 1, 1, 1].map((bytes) => [CDN, cut(bytes)] as const),
    pauses: Array(8).fill(750),
    ranges: [null, 1000, 1500, 1501, 1502, 1503, 1504, 1505, 1506]
      .map((start) => start === null ? null : `bytes=${start}-`),
  },
  {
    name: "an address that has expired",
    faults: () => [[CDN, status(403)]],
    pauses: [750],
    ranges: [null, null],
  },
  {
    name: "a CDN that ignores ranges",
    faults: () => [[CDN, cut(1000)], [CDN, { kind: "no ranges" }]],
    pauses: [750],
    ranges: [null, "bytes=1000-"],
  },
  {
    name: "a CDN that sends another range",
    faults: () => [[CDN, cut(1000)], [CDN, { kind: "other range" }]],
    pauses: [750, 1500],
    ranges: [null, "bytes=1000-", null],
  },
  {
    name: "a CDN that has no such range",
    faults: () => [[CDN, cut(1000)], [CDN, status(416)]],
    pauses: [750, 1500],
    ranges: [null, "bytes=1000-", null],
  },
  {
    name: "wrong content, once",
    faults: () => [[CDN, content(changed)]],
    pauses: [750],
    ranges: [null, null],
  },
  {
    name: "wrong size, once",
    faults: () => [[CDN, content(WEIGHTS.subarray(0, 2999))]],
    pauses: [750],
    ranges: [null, null],
  },
];

for (const { name, faults, pauses, ranges } of RECOVERIES) {
  Deno.test(`a download survives ${name}`, () =>
    withHub([MODEL], async (fixture) => {
      const { hub, cache, clock, options } = fixture;
      for (const [pattern, fault, times] of faults(fixture)) hub.fail(pattern, fault, times);
      const { root } = await resolveHub("hf:org/name", options());
      assert.equal(hub.unmet, 0, "all faults happened");
      assert.deepEqual(clock.pauses, pauses);
      for (const file of MODEL.files) {
        assert.deepEqual(await Deno.readFile(join(root, file.path)), file.content);
      }
      assert.deepEqual(await checkCache(cache, [MODEL]), []);
      if (ranges !== undefined) assert.deepEqual(hub.seen(CDN).map(({ range }) => range), ranges);
    }));
}

// One file alone: the clock's timers all expire together, those of other downloads as well.
Deno.test("a download survives a connection that falls silent", () =>
  withHub([MODEL], async ({ hub, cache, clock, options }) => {
    hub.fail(CDN, { kind: "hang", bytes: 0, stalled: () => clock.expire() });
    const { files: [file = ""] } = await resolveHub("hf:org/name/model.safetensors", options());
    assert.equal(hub.unmet, 0);
    assert.deepEqual(clock.pauses, [750]);
    assert.deepEqual(await Deno.readFile(file), WEIGHTS);
    assert.deepEqual(await checkCache(cache, [MODEL]), []);
    assert.deepEqual(hub.seen(CDN).map(({ range }) => range), [null, null]);
  }));

Deno.test("a range is asked for only of the content that was cut", () =>
  withHub([MODEL], async ({ hub, options }) => {
    hub.fail(CDN, cut(1000));
    await resolveHub("hf:org/name", options());
    assert.deepEqual(hub.seen(CDN).map(({ ifRange }) => ifRange), [
      null,
      `"${DIGEST.slice(0, 32)}"`,
    ]);
  }));

/** What an earlier process has left, and the ranges that are asked for then. */
const LEFTOVERS: readonly (readonly [string, Uint8Array, readonly (string | null)[]])[] = [
  ["a beginning", WEIGHTS.subarray(0, 1234), ["bytes=1234-"]],
  ["all of it", WEIGHTS, []],
  ["nothing", WEIGHTS.subarray(0, 0), [null]],
  ["a wrong beginning", changed.map((value) => value ^ 1).subarray(0, 1234), ["bytes=1234-", null]],
  ["all of it, but wrong", changed, [null]],
  ["more than it has", someBytes(SIZE + 1), [null]],
];

for (const [name, left, ranges] of LEFTOVERS) {
  Deno.test(`a download continues after an earlier one left ${name}`, () =>
    withHub([MODEL], async ({ hub, cache, options }) => {
      const part = join(cache, "models--org--name", "blobs", `${DIGEST}.incomplete`);
      await Deno.mkdir(dirname(part), { recursive: true });
      await Deno.writeFile(part, left);
      const { files: [path = ""] } = await resolveHub("hf:org/name/model.safetensors", options());
      assert.deepEqual(await Deno.readFile(path), WEIGHTS);
      assert.deepEqual(hub.seen(CDN).map(({ range }) => range), ranges);
      assert.deepEqual(await checkCache(cache, [MODEL]), []);
    }));
}

/** Faults that do not pass, with the sentence and what stays of the weights. */
interface Failure {
  readonly name: string;
  readonly faults: (fixture: Fixture) => (readonly [RegExp, Fault, number?])[];
  readonly message: RegExp;
  /** Bytes of the weights that are kept for the next attempt. */
  readonly kept?: number;
}

const FAILURES: readonly Failure[] = [
  {
    name: "503 for ever",
    faults: () => [[REVISION, status(503), 6]],
    message: /^hf:org\/name could not be had: 127\.0\.0\.1:\d+ answered 503, 6 times; check the/,
  },
  {
    name: "a rate limit of an hour",
    faults: () => [[REVISION, status(429, { "retry-after": "3600" })]],
    message: /answered 429 and asks to wait 3600 s; /,
  },
  {
    name: "a list that never comes",
    faults: () => [[TREE, status(500), 6]],
    message: /^The list of files of hf:org\/name could not be had: .* answered 500, 6 times/,
  },
  {
    name: "silence for ever",
    faults: ({ clock }) => [[REVISION, { kind: "stall", stalled: () => clock.expire() }, 6]],
    message: /was silent for too long, 6 times/,
  },
  {
    name: "a CDN that cuts every connection at once",
    faults: () => [[CDN, cut(1000)], [CDN, cut(0), 5]],
    message:
      /^model\.safetensors of hf:org\/name could not be had: the connection to .*, 6 times; check/,
    kept: 1000,
  },
  {
    name: "wrong content, twice",
    faults: () => [[CDN, content(changed), 2]],
    message: new RegExp(
      "^model\\.safetensors of hf:org/name arrived twice as another file than the Hub lists " +
        `\\(its sha256 is [0-9a-f]{64}, wanted ${DIGEST}\\): nothing of it was kept`,
    ),
  },
  {
    name: "a small file with wrong content, twice",
    faults: () => [[SMALL, content(new TextEncoder().encode('{"model_type": "lLama"}\n')), 2]],
    message: /^config\.json of .* \(its git-sha1 is [0-9a-f]{40}, wanted [0-9a-f]{40}\)/,
  },
  {
    name: "a file that is too short, twice",
    faults: () => [[CDN, content(WEIGHTS.subarray(0, 2000)), 2]],
    message: /\(it has 2000 bytes, wanted 3000\)/,
  },
  {
    name: "a file that is too long, twice",
    faults: () => [[CDN, content(someBytes(3001)), 2]],
    message: /\(it has 3001 bytes, wanted 3000\)/,
  },
  {
    name: "a file without end, twice",
    faults: () => [[CDN, { kind: "content", content: someBytes(9000), unmeasured: true }, 2]],
    message: /\(more than 3000 bytes were sent\)/,
  },
  {
    name: "a circle of redirects",
    faults: ({ hub }) => [[LARGE, { kind: "redirect", location: `${hub.cdn}/again` }, 6], [
      /^cdn \/again/,
      { kind: "redirect", location: "/again" },
      48,
    ]],
    message: /redirects in a circle, 6 times/,
  },
  {
    name: "a redirect to what is no address of the web",
    faults: () => [[LARGE, { kind: "redirect", location: "file:///etc/passwd" }, 6]],
    message: /redirects to no address, 6 times/,
  },
  {
    name: "an answer that is none of the Hub",
    faults: () => [[REVISION, content(new TextEncoder().encode("<html>Please log in</html>"))]],
    message:
      /does not answer as the Hugging Face Hub does .*check HF_ENDPOINT, and whether a login/,
  },
  {
    name: "a commit that is a path",
    faults: () => [[REVISION, json({ sha: "../../../evil" })]],
    message: /does not answer as .* \(the commit of hf:org\/name is "\.\.\/\.\.\/\.\.\/evil"/,
  },
];

for (const { name, faults, message, kept } of FAILURES) {
  Deno.test(`a download ends with one sentence at ${name}`, () =>
    withHub([MODEL], async (fixture) => {
      const { hub, cache, options } = fixture;
      for (const [pattern, fault, times] of faults(fixture)) hub.fail(pattern, fault, times);
      await assert.rejects(resolveHub("hf:org/name", options()), (error) => {
        assert.ok(error instanceof UserError, String(error));
        assert.match(error.message, message);
        assert.ok(!error.message.includes("\n"));
        assert.doesNotMatch(Deno.inspect(error), /sIgNaTuRe/);
        return true;
      });
      assert.equal(hub.unmet, 0, "all faults happened");
      const parts = await checkCache(cache, [MODEL]);
      const sizes = await Promise.all(
        parts.map(async (part) => (await Deno.stat(join(cache, part))).size),
      );
      assert.deepEqual(sizes, kept === undefined ? [] : [kept]);
      // What has arrived stays; and the next attempt, without faults, succeeds.
      const { root } = await resolveHub("hf:org/name", options());
      assert.deepEqual(await Deno.readFile(join(root, "model.safetensors")), WEIGHTS);
      assert.deepEqual(await checkCache(cache, [MODEL]), []);
      const incomplete = (await namesBelow(cache)).filter((path) => path.includes("incomplete"));
      assert.deepEqual(incomplete, []);
    }));
}
