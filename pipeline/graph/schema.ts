/**
 * The shape of an experiment file: the checks of its top level, and its JSON Schema for editors.
 *
 * @module
 */

import { z } from "zod";
import { type JsonSchema, jsonSchemaOf } from "./schema_paths.ts";
import type { Stage } from "./stage.ts";

const axes = z.record(z.string(), z.array(z.unknown()).min(1));
const assignment = z.record(z.string(), z.unknown());
const paths = z.union([z.string(), z.array(z.string())]);

const table = z.strictObject({
  title: z.string().describe("Caption.").optional(),
  rows: paths.describe('Axes or parameters that label the rows ("adapter.rank").').optional(),
  columns: paths.describe("Axes or parameters that label the columns.").optional(),
  value: z.union([z.string(), z.array(z.string()).min(1)])
    .describe('Metrics, as node.input.metric ("quality.tuned.perplexity").'),
  over: paths.describe("Axes to average over; the table shows mean and standard deviation.")
    .optional(),
});

/** An experiment's name is a folder of `runs/`. */
export const NAME: RegExp = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

const shape = z.strictObject({
  $schema: z.string().describe("Path of the JSON Schema, for editors.").nullish(),
  name: z.string().regex(NAME)
    .describe("Folder of the results under runs/; by default the file's name without its ending.")
    .nullish(),
  description: z.string().describe("What the experiment is for.").nullish(),
  seed: z.int().min(0).describe("Seed of everything random; by default 0.").nullish(),
  vars: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.unknown())
    .describe("Values to be used elsewhere as ${name}.").nullish(),
  graph: z.record(z.string(), z.unknown()).describe("Nodes by name."),
  grid: axes.describe(
    'Axes to vary, as path: list of values ("base.quantizer.bits": [4, 2]); every combination is a cell.',
  ).nullish(),
  zip: z.union([axes, z.array(axes)])
    .describe("Axes that advance together, as path: list; the lists of one map are equally long.")
    .nullish(),
  include: z.array(assignment).describe("Cells to add, each as path: value.").nullish(),
  exclude: z.array(assignment).describe("Cells of the grid to leave out, each as path: value.")
    .nullish(),
  table: table.describe("The table to print.").nullish(),
  scale: z.string()
    .describe('One of `scales`, or "full", the file as it stands; usually as --set scale=name.')
    .nullish(),
  scales: z.record(z.string(), z.record(z.string(), z.unknown()))
    .describe("By name, what a scale changes: laid over the file as over one that it extends.")
    .nullish(),
});

/** The top level of an experiment file after `extends`; the nodes of `graph` are checked by cell. */
export const experimentShape: z.ZodType = shape;

/** Keys that no node may have as its name, because paths begin with either. */
export const RESERVED: readonly string[] = ["extends", ...Object.keys(shape.shape)];

/** A node's name is the first step of a path. */
export const NODE_NAME: RegExp = /^[A-Za-z_][A-Za-z0-9_-]*$/;

const VARIABLE: JsonSchema = {
  type: "string",
  pattern: "^\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}$",
  description: "A variable declared in vars.",
};

/**
 * The JSON Schema (draft 7) of the experiment file, for yaml-language-server and its like: it completes
 * keys, shows documentation and marks misspelt keys and wrong values. Wherever a value is wanted it
 * also takes `${name}`. It requires no keys, since `extends` or `grid` may supply any of them.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * assert.equal(experimentSchema([]).$schema, "http://json-schema.org/draft-07/schema#");
 * ```
 */
export function experimentSchema(stages: readonly Stage[]): Record<string, unknown> {
  const definitions: Record<string, JsonSchema> = { variable: VARIABLE };
  const root = withoutRequired(structuredClone(jsonSchemaOf(experimentShape)));
  const nodes = stages.map((stage) => nodeSchema(stage, definitions));
  return {
    ...root,
    title: "Equipoise experiment",
    properties: {
      ...root.properties,
      extends: {
        description: "Files that this one is laid over: maps are merged, all else is replaced.",
        anyOf: [{ type: "string" }, { type: "array", items: { type: "string" } }],
      },
      graph: {
        ...root.properties?.graph,
        propertyNames: { pattern: NODE_NAME.source },
        additionalProperties: nodes.length === 0 ? {} : { anyOf: nodes },
      },
    },
    definitions,
  };
}

function nodeSchema(stage: Stage, definitions: Record<string, JsonSchema>): JsonSchema {
  const schema = structuredClone(jsonSchemaOf(stage.parameters));
  delete schema.$schema;
  for (const [name, definition] of Object.entries(schema.definitions ?? {})) {
    definitions[`${stage.name}.${name}`] = forEditors(qualified(definition, stage.name));
  }
  delete schema.definitions;
  return withNodeKeys(forEditors(qualified(schema, stage.name)), stage);
}

/** The keys that the graph itself reads, added to every alternative of a stage's parameters. */
function withNodeKeys(schema: JsonSchema, stage: Stage): JsonSchema {
  if (schema.anyOf !== undefined) {
    return { ...schema, anyOf: schema.anyOf.map((part) => withNodeKeys(part, stage)) };
  }
  const from: JsonSchema = {
    description: `Node to read (${stage.accepts.join(" or ")})${
      stage.fansOut ? ", or a list of them" : ""
    }.`,
    anyOf: [
      { type: "string" },
      ...(stage.fansOut ? [{ type: "array", items: { type: "string" }, minItems: 1 }] : []),
    ],
  };
  return {
    ...schema,
    title: stage.name,
    description: stage.summary,
    properties: {
      stage: { const: stage.name, description: stage.summary },
      ...(stage.accepts.length > 0 ? { from } : {}),
      ...schema.properties,
    },
  };
}

function qualified(schema: JsonSchema, prefix: string): JsonSchema {
  return mapParts(
    schema,
    (part) =>
      part.$ref?.startsWith("#/definitions/")
        ? { ...part, $ref: part.$ref.replace("#/definitions/", `#/definitions/${prefix}.`) }
        : part,
  );
}

function withoutRequired(schema: JsonSchema): JsonSchema {
  return mapParts(schema, ({ required: _, ...part }) => part);
}

/** Without required keys, with variables allowed, and with alternatives that may overlap. */
function forEditors(schema: JsonSchema): JsonSchema {
  return mapParts(schema, ({ required: _, oneOf, ...part }) => ({
    ...part,
    ...(oneOf === undefined ? {} : { anyOf: oneOf }),
    ...(part.properties === undefined ? {} : {
      properties: Object.fromEntries(
        Object.entries(part.properties).map(([key, value]) => [key, orVariable(value)]),
      ),
    }),
    ...(part.items === undefined || Array.isArray(part.items)
      ? {}
      : { items: orVariable(part.items) }),
  }));
}

function orVariable(schema: JsonSchema): JsonSchema {
  const isFreeText = schema.type === "string" && schema.enum === undefined &&
    schema.pattern === undefined && schema.format === undefined;
  const isAnything = Object.keys(schema).every((keyword) => keyword === "description");
  // Constants tell alternatives apart; an editor completes them only where they stand alone.
  if (isFreeText || isAnything || schema.const !== undefined) return schema;
  const { description, default: value, ...rest } = schema;
  return {
    ...(description === undefined ? {} : { description }),
    ...(value === undefined ? {} : { default: value }),
    anyOf: [...(Object.keys(rest).length === 1 && rest.anyOf ? rest.anyOf : [rest]), {
      $ref: "#/definitions/variable",
    }],
  };
}

/** Applies `change` to a schema and all schemas in it, the inner ones first. */
function mapParts(schema: JsonSchema, change: (part: JsonSchema) => JsonSchema): JsonSchema {
  const inner = (part: JsonSchema) => mapParts(part, change);
  const all = (parts: JsonSchema[]) => parts.map(inner);
  const { properties, additionalProperties, items, anyOf, oneOf, allOf } = schema;
  return change({
    ...schema,
    ...(properties && {
      properties: Object.fromEntries(
        Object.entries(properties).map(([key, part]) => [key, inner(part)]),
      ),
    }),
    ...(typeof additionalProperties === "object" &&
      { additionalProperties: inner(additionalProperties) }),
    ...(items && { items: Array.isArray(items) ? all(items) : inner(items) }),
    ...(anyOf && { anyOf: all(anyOf) }),
    ...(oneOf && { oneOf: all(oneOf) }),
    ...(allOf && { allOf: all(allOf) }),
  });
}
