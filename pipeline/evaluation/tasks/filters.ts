/**
 * Filters: what is taken of generated texts before they are compared (`lm_eval/filters`).
 *
 * @module
 */

import { UserError } from "../../errors.ts";
import { didYouMeanOf } from "../../graph/suggestions.ts";
import { compile, findAll } from "../python/regular_expression.ts";
import { strip } from "../python/text.ts";
import type { SampleResponse } from "./sample.ts";
import type { FilterConfig } from "./task_schema.ts";
import type { Task } from "./task_node.ts";

/** A chain of filters under one name. */
export interface NamedFilter {
  readonly name: string;
  /** From the repeated responses to one request to what is compared. */
  apply(responses: readonly SampleResponse[]): unknown;
}

/** One link: from a list of responses to a list, or to one of them. */
type Step = (responses: readonly unknown[]) => unknown;

/** What a filter may set besides its name, and how it is made; it throws what is wrong with it. */
interface FilterKind {
  readonly keys: readonly (keyof FilterConfig)[];
  make(config: FilterConfig): Step;
}

const KINDS: Readonly<Record<string, FilterKind>> = {
  regex: { keys: ["regex_pattern", "group_select", "fallback"], make: makeRegex },
  take_first: { keys: [], make: () => ([first]) => first },
  take_first_k: { keys: ["k"], make: makeTakeFirst },
  majority_vote: { keys: [], make: () => (responses) => [mostFrequent(responses)] },
  remove_whitespace: { keys: [], make: () => eachText(strip) },
  lowercase: { keys: [], make: () => eachText((text) => text.toLowerCase()) },
  uppercase: { keys: [], make: () => eachText((text) => text.toUpperCase()) },
  map: { keys: ["mapping_dict", "default_value"], make: makeMap },
};

/**
 * The filters of a task: `take_first` under the name "none" if it has none.
 *
 * @throws {UserError} If there is no such filter, or it cannot be set so.
 */
export function buildFilters(task: Task): NamedFilter[] {
  const { filter_list: list, repeats } = task.config;
  if (list === null || list === undefined) {
    return [{ name: "none", apply: ([first]) => first }];
  }
  return list.map(({ name, filter }, index) => {
    const steps = filter.map((config, link): Step => {
      const place = task.place(["filter_list", index, "filter", link]);
      const kind = KINDS[config.function];
      if (kind === undefined) {
        throw new UserError(
          `${place}: there is no filter "${config.function}"` +
            didYouMeanOf(config.function, Object.keys(KINDS)),
        );
      }
      const extra = Object.keys(config)
        .find((key) => key !== "function" && !(kind.keys as readonly string[]).includes(key));
      if (extra !== undefined) {
        throw new UserError(
          `${place}: the filter ${config.function} has no "${extra}"${
            didYouMeanOf(extra, kind.keys)
          }`,
        );
      }
      if ((config.k ?? 1) > repeats) {
        throw new UserError(
          `${place}: take_first_k takes ${config.k} responses, but repeats is ${repeats}`,
        );
      }
      try {
        return kind.make(config);
      } catch (error) {
        throw new UserError(`${place}: ${(error as Error).message}`);
      }
    });
    return {
      name,
      apply: (responses) =>
        steps.reduce<unknown>((left, step) => step(Array.isArray(left) ? left : [left]), responses),
    };
  });
}

function makeRegex(config: FilterConfig): Step {
  const pattern = compile(config.regex_pattern ?? "#### (\\-?[0-9\\.\\,]+)");
  const fallback = config.fallback ?? "[invalid]";
  const select = config.group_select ?? 0;
  return (responses) =>
    responses.map((response) => {
      const matches = findAll(pattern, typeof response === "string" ? response : "");
      if (matches.length === 0) return fallback;
      const match = matches.at(select);
      if (match === undefined) {
        throw new UserError(
          `The filter regex takes match ${select} of a text that has ${matches.length}: set ` +
            "group_select to 0 or -1",
        );
      }
      return strip(
        typeof match === "string" ? match : match.find((part) => part !== "") ?? fallback,
      );
    });
}

function makeTakeFirst(config: FilterConfig): Step {
  const { k } = config;
  if (k === undefined) throw new Error('the filter take_first_k needs "k"');
  return (responses) => responses.slice(0, k);
}

function makeMap(config: FilterConfig): Step {
  const mapping = new Map(Object.entries(config.mapping_dict ?? {}));
  return (responses) =>
    responses.map((response) => {
      const key = String(response);
      return mapping.has(key) ? mapping.get(key) : config.default_value ?? null;
    });
}

/** The most frequent; of several, the one that comes first. */
function mostFrequent(responses: readonly unknown[]): unknown {
  const counts = new Map<unknown, number>();
  for (const response of responses) counts.set(response, (counts.get(response) ?? 0) + 1);
  let best: [unknown, number] = [undefined, 0];
  for (const entry of counts) if (entry[1] > best[1]) best = entry;
  return best[0];
}

function eachText(change: (text: string) => string): Step {
  return (responses) => responses.map((response) => change(String(response)));
}
