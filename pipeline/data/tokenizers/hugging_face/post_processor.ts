/**
 * Post-processors of `tokenizer.json`: the tokens that go before and after every text.
 *
 * @module
 */

import { type Component, partsOf, unknownType } from "./patterns.ts";

/** A token around a text: ids where the file gives them, or its content. */
export type SurroundingToken = readonly number[] | string;

/** What goes around a text. */
export interface Surroundings {
  readonly before: readonly SurroundingToken[];
  readonly after: readonly SurroundingToken[];
}

const NOTHING: Surroundings = { before: [], after: [] };

/**
 * What a post-processor puts around a single text.
 *
 * @throws {Error} If its type is unknown, or its template does not hold the text once.
 */
export function surroundingsOf(component: Component | null | undefined): Surroundings {
  if (component === null || component === undefined) return NOTHING;
  switch (component.type) {
    case "Sequence":
      return partsOf(component, "processors").map(surroundingsOf).reduce(
        (inner, outer) => ({
          before: [...outer.before, ...inner.before],
          after: [...inner.after, ...outer.after],
        }),
        NOTHING,
      );
    case "ByteLevel":
      return NOTHING;
    case "BertProcessing":
    case "RobertaProcessing":
      return { before: [pairOf(component, "cls")], after: [pairOf(component, "sep")] };
    case "TemplateProcessing":
      return surroundingsOfTemplate(component);
    default:
      throw unknownType("post-processor", component);
  }
}

function surroundingsOfTemplate(component: Component): Surroundings {
  const template = component.single;
  const known = (component.special_tokens ?? {}) as Record<string, { ids?: unknown }>;
  const isText = (item: object) => "Sequence" in item;
  if (!Array.isArray(template) || template.filter(isText).length !== 1) {
    throw new TypeError("the template of its post-processor does not hold the text once");
  }
  const tokens = template.map((item: { SpecialToken?: { id?: unknown } }) => {
    const content = String(item.SpecialToken?.id);
    const ids = Object.hasOwn(known, content) ? known[content]?.ids : undefined;
    return Array.isArray(ids) ? ids as number[] : content;
  });
  const text = template.findIndex(isText);
  return { before: tokens.slice(0, text), after: tokens.slice(text + 1) };
}

function pairOf(component: Component, field: string): SurroundingToken {
  const pair = component[field];
  if (!Array.isArray(pair) || typeof pair[1] !== "number") {
    throw new TypeError(`${component.type} has no token and id as ${field}`);
  }
  return [pair[1]];
}
