import assert from "node:assert/strict";
import { z } from "zod";
import { jsonSchemaOf } from "./schema_paths.ts";
import { explainIssues, foundValue } from "./validation_messages.ts";

const quantizer = z.discriminatedUnion("method", [
  z.strictObject({ method: z.literal("none") }),
  z.strictObject({
    method: z.literal("rtn"),
    bits: z.literal([2, 4]),
    group_size: z.int().positive().default(32),
  }),
]);

const schema = z.strictObject({
  model: z.string().min(2).optional(),
  name: z.string().regex(/^[a-z]+$/).optional(),
  quantizer: quantizer.optional(),
  layers: z.record(z.string().regex(/^l/), quantizer).optional(),
  init: z.union([
    z.literal("zero"),
    z.strictObject({ peft: z.string(), scale: z.number().optional() }),
  ])
    .optional(),
  rank: z.union([z.int().min(1), z.literal("lora")]).optional(),
  lr: z.number().positive().max(1).optional(),
  block: z.number().multipleOf(32).optional(),
  flag: z.boolean().optional(),
  source: z.union([
    z.strictObject({ jsonl: z.string(), prompt: z.string() }),
    z.strictObject({ text: z.string(), eos: z.boolean() }),
    z.strictObject({ table: z.string(), columns: z.array(z.string()) }),
  ]).optional(),
  tasks: z.array(z.strictObject({ task: z.enum(["perplexity", "choice"]) })).min(1).max(2)
    .optional(),
  trains: z.array(z.enum(["adapter", "norms"])).refine(
    (list) => new Set(list).size === list.length,
    {
      message: "names something twice",
    },
  ).optional(),
});

function messages(value: Record<string, unknown>): string[] {
  const parsed = schema.safeParse(value);
  if (parsed.success) return [];
  return explainIssues(parsed.error.issues, {
    value,
    schema: jsonSchemaOf(schema),
    label: "base",
    keys: ["stage"],
  }).map(({ message, path, about }) => `${path.join(".")} (${about}): ${message}`);
}

Deno.test("explainIssues() names the value wanted and the value found", () => {
  const cases: [Record<string, unknown>, string][] = [
    [{ model: 3 }, "model (value): base.model must be text: found 3"],
    [{ model: "x" }, 'model (value): base.model must be text of at least 2 characters: found "x"'],
    [{ name: "A" }, 'name (value): base.name must be text that matches /^[a-z]+$/: found "A"'],
    [
      { lr: "2e-4" },
      'lr (value): base.lr must be a number: found "2e-4" in quotes; a number has none',
    ],
    [{ lr: "fast" }, 'lr (value): base.lr must be a number: found "fast"'],
    [{ lr: 0 }, "lr (value): base.lr must be more than 0: found 0"],
    [{ lr: 2 }, "lr (value): base.lr must be at most 1: found 2"],
    [{ lr: null }, "lr (value): base.lr must be a number: found nothing"],
    [{ lr: NaN }, "lr (value): base.lr must be a number: found NaN"],
    [{ block: 33 }, "block (value): base.block must be a multiple of 32: found 33"],
    [{ flag: "yes" }, 'flag (value): base.flag must be true or false: found "yes"'],
    [
      { tasks: [] },
      "tasks (value): base.tasks must be a list of at least 1 entry: found an empty list",
    ],
    [{ tasks: {} }, "tasks (value): base.tasks must be a list: found a map"],
    [
      { tasks: [{ task: "perplexitty" }] },
      'tasks.0.task (value): base.tasks.0.task must be "perplexity" or "choice": found ' +
      '"perplexitty"; did you mean "perplexity"?',
    ],
    [{ trains: ["norms", "norms"] }, "trains (value): base.trains: names something twice"],
    [{ quantizer: 3 }, "quantizer (value): base.quantizer must be a map: found 3"],
    [
      { quantizer: { method: "rtm" } },
      'quantizer.method (value): base.quantizer.method must be "none" or "rtn": found "rtm"; ' +
      'did you mean "rtn"?',
    ],
    [
      { quantizer: { bits: 4 } },
      'quantizer.method (key): Missing key "method" in base.quantizer: it must be "none" or "rtn"',
    ],
    [
      { quantizer: { method: "rtn", bits: 5 } },
      "quantizer.bits (value): base.quantizer.bits must be 2 or 4: found 5",
    ],
    [{ rank: 0 }, "rank (value): base.rank must be at least 1: found 0"],
    [{ rank: 1.5 }, 'rank (value): base.rank must be a whole number or "lora": found 1.5'],
    [
      { rank: "laro" },
      'rank (value): base.rank must be a number or "lora": found "laro"; did you mean "lora"?',
    ],
    [
      { source: { text: "x", eos: 1 } },
      "source.eos (value): base.source.eos must be true or false: found 1",
    ],
    [{ init: 3 }, 'init (value): base.init must be "zero" or a map: found 3'],
    [
      { layers: { l1: { method: "none" }, k1: { method: "none" } } },
      "layers.k1 (key): base.layers.k1 is not a valid key: it must be text that matches /^l/",
    ],
  ];
  for (const [value, wanted] of cases) assert.deepEqual(messages(value), [wanted]);
});

Deno.test("explainIssues() lists the keys of the alternative that was meant", () => {
  assert.deepEqual(messages({ quantizer: { method: "rtn", bits: 4, grop_size: 32 } }), [
    'quantizer.grop_size (key): Unknown key "grop_size" in base.quantizer with method "rtn"; ' +
    'did you mean "group_size"? Allowed: method, bits, group_size',
  ]);
  assert.deepEqual(messages({ quantizer: { method: "none", bits: 4 } }), [
    'quantizer.bits (key): Unknown key "bits" in base.quantizer with method "none"; allowed: method',
  ]);
  assert.deepEqual(messages({ layers: { l1: { method: "none", bits: 4 } } }), [
    'layers.l1.bits (key): Unknown key "bits" in base.layers.l1 with method "none"; allowed: method',
  ]);
  assert.deepEqual(messages({ init: { peft: "x", scael: 2 } }), [
    'init.scael (key): Unknown key "scael" in base.init; did you mean "scale"? Allowed: peft, scale',
  ]);
  assert.deepEqual(messages({ source: { text: "x", eos: true, prompt: "y" } }), [
    'source.prompt (key): Unknown key "prompt" in base.source; allowed: text, eos',
  ]);
  assert.deepEqual(messages({ source: { table: 1, columns: 2, sep: "," } }), [
    "source.table (value): base.source.table must be text: found 1",
    "source.columns (value): base.source.columns must be a list: found 2",
    'source.sep (key): Unknown key "sep" in base.source; allowed: table, columns',
  ]);
  assert.match(
    messages({ stge: 1 }).join(),
    /^stge .* did you mean "stage"\? Allowed: stage, model,/,
  );
});

Deno.test("explainIssues() takes a misspelt key for the missing one", () => {
  assert.deepEqual(messages({ init: { pfet: "x" } }), [
    'init.pfet (key): Unknown key "pfet" in base.init; did you mean "peft"? Allowed: peft, scale',
  ]);
  assert.deepEqual(messages({ init: { other: 1 } }), [
    'init.peft (key): Missing key "peft" in base.init: it must be text',
    'init.other (key): Unknown key "other" in base.init; allowed: peft, scale',
  ]);
});

Deno.test("foundValue() shortens what is long", () => {
  assert.equal(foundValue("x".repeat(100)), `"${"x".repeat(60)}…"`);
  assert.deepEqual([undefined, null, [], [1], {}, true].map(foundValue), [
    "nothing",
    "nothing",
    "an empty list",
    "a list",
    "a map",
    "true",
  ]);
});
