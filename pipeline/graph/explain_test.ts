import assert from "node:assert/strict";
import { explainRun } from "./explain.ts";
import type { StageIdentity } from "./manifest.ts";

const BASE: StageIdentity = {
  stage: "quantize",
  version: 1,
  parameters: { quantizer: { method: "rtn", bits: 4, group_size: 64 }, layers: [1, 2] },
  sources: {},
  upstream: ["k1"],
  seed: 1,
  device: "A",
};

function quantizer(values: object): StageIdentity {
  return { ...BASE, parameters: { quantizer: values, layers: [1, 2] } };
}

const explain = (now: StageIdentity, ...earlier: StageIdentity[]) =>
  explainRun(now, earlier, (key) => `node of ${key}`);

Deno.test("explainRun() names parameters that changed, came and went", () => {
  assert.equal(
    explain(quantizer({ method: "rtn", bits: 4, group_size: 32 }), BASE),
    "quantizer.group_size changed from 64 to 32",
  );
  assert.equal(
    explain(quantizer({ method: "rtn", bits: 4, symmetric: true }), BASE),
    "quantizer.symmetric added as true, quantizer.group_size removed (was 64)",
  );
  assert.equal(
    explain(quantizer({ method: "rtn", bits: 4, group_size: 64, prompt: "a\nb" }), BASE),
    'quantizer.prompt added as "a\\nb"',
  );
});

Deno.test("explainRun() names seed, device, version and upstream", () => {
  assert.equal(
    explain({ ...BASE, seed: 2, upstream: ["k2"] }, BASE),
    "seed changed from 1 to 2, upstream node of k2 changed",
  );
  assert.equal(
    explain({ ...BASE, version: 2, device: "B" }, BASE),
    "the stage's version changed from 1 to 2, device changed from A to B",
  );
});

Deno.test("explainRun() names an optional upstream that came or went, and is never silent", () => {
  const alone = { ...BASE, upstream: [] };
  assert.equal(explain(BASE, alone), "upstream node of k1 added");
  assert.equal(explain(alone, BASE), "upstream removed");
  assert.equal(explain(BASE, BASE), "not in the store");
});

Deno.test("explainRun() compares with the nearest result, the newest of equally near ones", () => {
  const far = quantizer({ method: "nf4" });
  const near = quantizer({ method: "rtn", bits: 2, group_size: 64 });
  const newest = quantizer({ method: "rtn", bits: 3, group_size: 64 });
  const reason = "quantizer.bits changed from 3 to 4";
  assert.equal(explain(BASE, far, newest, near), reason);
  assert.equal(explain(BASE, newest, near, far), reason);
});

Deno.test("explainRun() shows three differences and counts the rest", () => {
  const other = { ...quantizer({ method: "nf4", bits: 3, group_size: 32 }), seed: 5, device: "B" };
  assert.match(explain(BASE, other), /^([^,]+, ){2}[^,]+ and 2 more$/);
});

Deno.test("explainRun() ignores another name of equal content", () => {
  const at = (reference: string, sha256: string): StageIdentity => ({
    ...BASE,
    parameters: { model: reference, bits: reference === "a" ? 4 : 2 },
    sources: { model: { reference, sha256 } },
  });
  assert.equal(explain(at("b", "1"), at("a", "1")), "bits changed from 4 to 2");
  assert.equal(explain(at("a", "2"), at("a", "1")), "the content of model (a) changed");
  assert.equal(
    explain(at("b", "2"), at("a", "1")),
    "model changed from a to b, bits changed from 4 to 2",
  );
});
