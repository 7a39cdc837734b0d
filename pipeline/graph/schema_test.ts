import { Ajv } from "ajv";
import assert from "node:assert/strict";
import { parse } from "yaml";
import { z } from "zod";
import { experimentSchema } from "./schema.ts";
import type { JsonSchema } from "./schema_paths.ts";
import type { Stage } from "./stage.ts";
import { EXAMPLE, FAKE_STAGES } from "./testing/experiment_files.ts";

/** Paths that an independent validator finds wrong. */
function mistakes(schema: Record<string, unknown>, value: unknown): string[] {
  const ajv = new Ajv({ strict: false, allErrors: true });
  const validate = ajv.compile(schema);
  validate(value);
  return [...new Set((validate.errors ?? []).map(({ instancePath }) => instancePath))];
}

const schema = experimentSchema(FAKE_STAGES);

function changed(change: (experiment: Record<string, unknown>) => void): unknown {
  const experiment = parse(EXAMPLE);
  change(experiment);
  return experiment;
}

Deno.test("experimentSchema() is a draft 7 schema that accepts the example of the design", () => {
  assert.equal(schema["$schema"], "http://json-schema.org/draft-07/schema#");
  const ajv = new Ajv({ strict: false });
  assert.equal(ajv.validateSchema(schema), true);
  assert.deepEqual(mistakes(schema, parse(EXAMPLE)), []);
});

Deno.test("experimentSchema() refuses misspelt keys and wrong values", () => {
  const cases: [string, string, unknown][] = [
    ["/graph/base", "/graph/base/quantizer/bits", 5],
    ["/graph/base", "/graph/base/quantizer/grop_size", 32],
    ["/graph/base", "/graph/base/quantizer/method", "rtm"],
    ["/graph/tuned", "/graph/tuned/stesp", 3],
    ["/graph/tuned", "/graph/tuned/stage", "trian"],
    ["/graph/tuned", "/graph/tuned/from", ["adapter"]],
    ["/graph/base", "/graph/base/from", "adapter"],
    ["/seed", "/seed", "x"],
    ["", "/gird", {}],
    ["/grid/seed", "/grid/seed", 3],
    ["/table", "/table/rowss", []],
  ];
  for (const [where, pointer, value] of cases) {
    const experiment = changed((root) => {
      const keys = pointer.slice(1).split("/");
      const last = keys.pop() ?? "";
      let part = root;
      for (const key of keys) part = part[key] as Record<string, unknown>;
      part[last] = value;
    });
    const found = mistakes(schema, experiment);
    assert.ok(found.some((path) => path.startsWith(where)), `${pointer}: ${found}`);
  }
});

Deno.test("experimentSchema() takes variables for values, and files that extend others", () => {
  assert.deepEqual(
    mistakes(
      schema,
      changed((root) => {
        const graph = root["graph"] as Record<string, Record<string, unknown>>;
        graph["base"] = { stage: "quantize", model: "${m}", quantizer: "${q}" };
        Object.assign(graph["adapter"] ?? {}, { rank: "${rank}", form: "${form}" });
        Object.assign(graph["tuned"] ?? {}, { shuffle: "${s}", data: { text: ["${a}"] } });
      }),
    ),
    [],
  );
  assert.deepEqual(
    mistakes(schema, {
      $schema: "./x.json",
      extends: ["a.yaml"],
      graph: { tuned: { steps: 3 }, base: { quantizer: { bits: 4 } } },
      zip: [{ seed: [1, 2] }],
      include: [{ "tuned.steps": 3 }],
      exclude: [{ seed: 1 }],
    }),
    [],
  );
});

Deno.test("experimentSchema() takes an optional from, and nodes without it", () => {
  const optional = experimentSchema(
    FAKE_STAGES.map((stage): Stage =>
      stage.name === "quantize" ? { ...stage, accepts: ["model"], fromIsOptional: true } : stage
    ),
  );
  const quantizer = { method: "none" };
  const graph = (from: object) => ({
    graph: { base: { stage: "quantize", quantizer, ...from } },
  });
  assert.deepEqual(mistakes(optional, graph({ from: "trained" })), []);
  assert.deepEqual(mistakes(optional, graph({ model: "m" })), []);
  assert.notDeepEqual(mistakes(optional, graph({ from: ["trained"] })), []);
  assert.notDeepEqual(mistakes(schema, graph({ from: "trained" })), [], "not where it is unknown");
});

Deno.test("experimentSchema() documents stages and their parameters", () => {
  const graph = (schema["properties"] as Record<string, JsonSchema>)["graph"];
  const nodes = graph?.additionalProperties as JsonSchema;
  const quantize = nodes.anyOf?.find(({ title }) => title === "quantize");
  assert.equal(quantize?.description, "The stage quantize.");
  assert.equal(quantize?.properties?.["model"]?.description, "Folder of the model.");
  assert.equal(quantize?.properties?.["quantizer"]?.description, "How weights are rounded.");
});

Deno.test("experimentSchema() keeps schemas that refer to themselves, and unions of parameters", () => {
  const tree: z.ZodType = z.strictObject({
    size: z.int(),
    get children() {
      return z.array(tree).optional();
    },
  });
  const [quantize] = FAKE_STAGES as [Stage];
  const stages: Stage[] = [
    { ...quantize, name: "grow", parameters: z.strictObject({ tree }) },
    {
      ...quantize,
      name: "choose",
      parameters: z.discriminatedUnion("kind", [
        z.strictObject({ kind: z.literal("a"), x: z.int() }),
        z.strictObject({ kind: z.literal("b"), y: z.int() }),
      ]),
    },
  ];
  const recursive = experimentSchema(stages);
  const grow = (size: unknown) => ({
    graph: { n: { stage: "grow", tree: { size: 1, children: [{ size }] } } },
  });
  assert.deepEqual(mistakes(recursive, grow(2)), []);
  assert.notDeepEqual(mistakes(recursive, grow("x")), []);
  const choose = (extra: object) => ({ graph: { n: { stage: "choose", kind: "a", ...extra } } });
  assert.deepEqual(mistakes(recursive, choose({ x: 1 })), []);
  assert.notDeepEqual(mistakes(recursive, choose({ y: 1 })), []);
});
