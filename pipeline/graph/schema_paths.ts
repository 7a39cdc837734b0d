/**
 * Questions to a JSON Schema: which keys are allowed here, and does this path exist at all.
 *
 * @module
 */

import { z } from "zod";
import type { Path } from "./located.ts";

/** The part of JSON Schema (draft 7) that zod writes and this project reads. */
export interface JsonSchema {
  /** Version of the language. */
  $schema?: string;
  /** Stands for a definition. */
  $ref?: string;
  /** Short name. */
  title?: string;
  /** What editors show. */
  description?: string;
  /** What is meant if the key is left out. */
  default?: unknown;
  /** Kind of value. */
  type?: string | string[];
  /** The only value. */
  const?: unknown;
  /** All values. */
  enum?: unknown[];
  /** Regular expression that text matches. */
  pattern?: string;
  /** Name of a form of text. */
  format?: string;
  /** Values by key of a map. */
  properties?: Record<string, JsonSchema>;
  /** What keys must be. */
  propertyNames?: JsonSchema;
  /** Values of keys not in `properties`. */
  additionalProperties?: boolean | JsonSchema;
  /** Entries of a list. */
  items?: JsonSchema | JsonSchema[];
  /** Keys that cannot be left out. */
  required?: string[];
  /** Alternatives. */
  anyOf?: JsonSchema[];
  /** Alternatives of which exactly one fits. */
  oneOf?: JsonSchema[];
  /** Parts that all fit. */
  allOf?: JsonSchema[];
  /** Schemas to refer to. */
  definitions?: Record<string, JsonSchema>;
  /** Everything else. */
  [keyword: string]: unknown;
}

const schemas = new WeakMap<z.ZodType, JsonSchema>();

/** The JSON Schema (draft 7) of what a zod schema takes as input. */
export function jsonSchemaOf(schema: z.ZodType): JsonSchema {
  let json = schemas.get(schema);
  if (json === undefined) {
    json = z.toJSONSchema(schema, {
      target: "draft-7",
      io: "input",
      unrepresentable: "any",
    }) as JsonSchema;
    schemas.set(schema, json);
  }
  return json;
}

/** What a map may be. */
export interface AllowedMap {
  /** The keys it may have. */
  readonly keys: readonly string[];
  /** The constants that decided between alternatives, as text: `method "rtn"`. */
  readonly choices: readonly string[];
}

/**
 * What a map may be.
 *
 * @param value The whole value; it decides between the alternatives of a discriminated union.
 * @param path Where in it the map stands.
 */
export function allowedMap(root: JsonSchema, value: unknown, path: Path): AllowedMap {
  let all = variants(root, root);
  let alternatives = fitting(all, value);
  let part = value;
  for (const key of path) {
    part = (part as Record<string, unknown> | null | undefined)?.[key];
    all = alternatives.flatMap((schema) => step(root, schema, key));
    alternatives = fitting(all, part);
  }
  const keys = [
    ...new Set(alternatives.flatMap(({ properties }) => Object.keys(properties ?? {}))),
  ];
  const [chosen] = alternatives;
  const isChoice = alternatives.length === 1 && all.length > 1;
  const choices = isChoice
    ? Object.entries(chosen?.properties ?? {}).flatMap(([key, property]) =>
      property.const === undefined ? [] : [`${key} ${JSON.stringify(property.const)}`]
    )
    : [];
  return { keys, choices };
}

/** Whether any value that fits the schema has something at a path. */
export function hasPath(root: JsonSchema, path: Path): boolean {
  let alternatives = variants(root, root);
  for (const key of path) {
    alternatives = alternatives.flatMap((schema) => step(root, schema, key));
  }
  return alternatives.length > 0;
}

/** The schema itself, or the schemas that it refers to or combines. */
function variants(root: JsonSchema, schema: JsonSchema): JsonSchema[] {
  if (schema.$ref !== undefined) {
    if (schema.$ref === "#") return variants(root, root);
    const target = root.definitions?.[schema.$ref.replace("#/definitions/", "")];
    return target === undefined ? [] : variants(root, target);
  }
  const parts = [...schema.anyOf ?? [], ...schema.oneOf ?? [], ...schema.allOf ?? []];
  return parts.length === 0 ? [schema] : parts.flatMap((part) => variants(root, part));
}

function step(root: JsonSchema, schema: JsonSchema, key: string): JsonSchema[] {
  const named = schema.properties !== undefined && Object.hasOwn(schema.properties, key)
    ? schema.properties[key]
    : undefined;
  if (named !== undefined) return variants(root, named);
  if (schema.items !== undefined && /^\d+$/.test(key)) {
    const item = Array.isArray(schema.items) ? schema.items[Number(key)] : schema.items;
    return item === undefined ? [] : variants(root, item);
  }
  const { additionalProperties } = schema;
  if (typeof additionalProperties === "object") return variants(root, additionalProperties);
  // A schema that says nothing about its kind allows anything inside.
  const open = Object.keys(schema).every((keyword) => keyword === "description");
  return open || additionalProperties === true ? [{}] : [];
}

/**
 * The alternatives whose constants agree with the value, all of them if none does; among these, those
 * that find most of their required keys in it.
 */
function fitting(alternatives: JsonSchema[], value: unknown): JsonSchema[] {
  if (typeof value !== "object" || value === null) return alternatives;
  const agreeing = alternatives.filter(({ properties }) =>
    Object.entries(properties ?? {}).every(([key, property]) =>
      property.const === undefined || property.const === (value as Record<string, unknown>)[key]
    )
  );
  const possible = agreeing.length > 0 ? agreeing : alternatives;
  const found = possible.map(({ required = [] }) =>
    required.filter((key) => Object.hasOwn(value, key)).length
  );
  return possible.filter((_, index) => found[index] === Math.max(...found));
}
