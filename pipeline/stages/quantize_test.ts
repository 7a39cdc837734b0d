import assert from "node:assert/strict";
import { quantize } from "./quantize.ts";

const UPSTREAM = [{ stage: "pretrain", parameters: {} }];

function problems(model: string | undefined, upstream: typeof UPSTREAM | []): unknown {
  const options = { quantizer: { method: "rtn", bits: 4 }, ...(model ? { model } : {}) };
  return quantize.check?.(quantize.parameters.parse(options), upstream);
}

Deno.test("check() takes a model by its folder or by from", () => {
  assert.deepEqual(problems("path/to/model", []), []);
  assert.deepEqual(problems(undefined, UPSTREAM), []);
});

Deno.test("check() refuses both and neither", () => {
  assert.deepEqual(problems("path/to/model", UPSTREAM), [
    { path: "model", message: "Both `model` and `from` are given; give the one to quantize" },
  ]);
  assert.deepEqual(problems(undefined, []), [{
    path: "model",
    message:
      "There is no model to quantize; give `model: path/to/folder`, or `from:` a node that " +
      "makes one",
  }]);
});

Deno.test("only a folder outside the store is a source", () => {
  const sources = (options: object) => quantize.sources(quantize.parameters.parse(options));
  const quantizer = { method: "nf4" };
  assert.deepEqual(sources({ quantizer }), []);
  assert.deepEqual(sources({ quantizer, model: "m" }), [{ reference: "m", path: "model" }]);
});
