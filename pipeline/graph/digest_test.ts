import assert from "node:assert/strict";
import { join } from "node:path";
import { digestFile, digestOf } from "./digest.ts";

// SHA-256 of "abc", FIPS 180-2 appendix B.1.
const ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

Deno.test("digestOf() is the SHA-256 of the canonical JSON", () => {
  // printf '{"a":[1,0.5],"b":"x"}' | sha256sum
  const expected = "360f7f88950464b53cf7f0610d13a176dca281615fdf307d4a9cd05d48e15dc4";
  assert.equal(digestOf({ b: "x", a: [1, 0.5] }), expected);
  assert.equal(digestOf({ a: [1.0, 0.5], b: "x", c: undefined }), expected);
  assert.notEqual(digestOf({ a: [0.5, 1], b: "x" }), expected);
});

Deno.test("digestOf() refuses what JSON cannot hold", () => {
  assert.throws(() => digestOf({ a: Infinity }), { name: "TypeError", message: /Infinity/ });
  assert.throws(() => digestOf({ a: NaN }), { name: "TypeError", message: /NaN/ });
  assert.throws(() => digestOf(undefined), TypeError);
});

Deno.test("digestFile() hashes bytes, also of files longer than a piece", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "file");
    await Deno.writeTextFile(path, "abc");
    assert.equal(await digestFile(path), ABC);
    await Deno.writeTextFile(path, "a".repeat(1_000_000) + "a".repeat(1_000_000));
    // head -c 2000000 /dev/zero | tr '\0' a | sha256sum
    const long = "bcf7f9d1b4311c3352e60502255ce09a6744df84e8f2c89f79c4b5d74933a95a";
    assert.equal(await digestFile(path), long);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
