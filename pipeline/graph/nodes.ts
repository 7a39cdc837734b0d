/**
 * The nodes of one cell: each checked by its stage, put in order, with paths made absolute.
 *
 * @module
 */

import type { GraphNode } from "./experiment.ts";
import type { Interpolator } from "./interpolation.ts";
import {
  child,
  type Located,
  type LocatedMap,
  lookup,
  originOfKey,
  toPlain,
  without,
} from "./located.ts";
import type { Origin } from "./origin.ts";
import { originInNode, parseParameters, type WrittenParameters } from "./node_parameters.ts";
import type { ProblemList } from "./problems.ts";
import { NODE_NAME, RESERVED } from "./schema.ts";
import type { Stage, UpstreamStage } from "./stage.ts";
import { didYouMean, didYouMeanOf, enumerate } from "./suggestions.ts";
import { findCycles, topologicalOrder } from "./topology.ts";
import { foundValue } from "./validation_messages.ts";

/** What the nodes of a cell are checked against. */
export interface NodeContext {
  /** By name. */
  readonly stages: ReadonlyMap<string, Stage>;
  /** Replaces `${name}` by the variables of the cell. */
  readonly interpolator: Interpolator;
  /** Collects the mistakes. */
  readonly problems: ProblemList;
}

/** A node on its way. */
interface Draft extends WrittenParameters {
  /** Null if the node names no known stage. */
  readonly stage: Stage | null;
  readonly from: readonly Input[];
  /** Undefined if they are not valid. */
  readonly parameters: unknown;
}

interface Input {
  readonly name: string;
  readonly origin: Origin;
}

/**
 * Checks the nodes of a cell and gives them in topological order. Mistakes go to the problems of the
 * context; if there were any, the result is not to be used.
 *
 * @param document The document with the cell's values in their places.
 */
export function resolveNodes(document: LocatedMap, context: NodeContext): GraphNode[] {
  const graph = lookup(document, ["graph"]);
  if (graph?.kind !== "map") return [];
  const drafts = new Map<string, Draft>();
  for (const [name, { key, value }] of graph.entries) {
    const draft = draftNode(name, key, context.interpolator.apply(value), context);
    if (draft !== null) drafts.set(name, draft);
  }
  const names = [...graph.entries.keys()];
  for (const draft of drafts.values()) checkInputs(draft, drafts, names, context);
  const reads = new Map(
    [...drafts].map(([name, { from }]) => [name, from.map((input) => input.name)]),
  );
  for (const cycle of findCycles(reads)) {
    const [first = "", second] = cycle;
    const draft = drafts.get(first);
    context.problems.add(
      draft?.from.find(({ name }) => name === second)?.origin ?? null,
      `The graph has a cycle, in which each node reads the next: ${cycle.join(" -> ")}`,
    );
  }
  const ordered = topologicalOrder(reads).flatMap((name) => drafts.get(name) ?? []);
  for (const draft of ordered) checkCombination(draft, drafts, context);
  return ordered.map(({ name, stage, parameters, from }) => ({
    name,
    stage: stage?.name ?? "",
    parameters,
    from: from.map((input) => input.name),
  }));
}

function draftNode(
  name: string,
  key: Origin,
  value: Located,
  context: NodeContext,
): Draft | null {
  const { problems, stages } = context;
  if (!NODE_NAME.test(name) || RESERVED.includes(name)) {
    problems.add(
      key,
      RESERVED.includes(name)
        ? `A node cannot be called ${name}, which is a key of the experiment file`
        : `The name of a node consists of letters, digits, "_" and "-": found ${
          JSON.stringify(name)
        }`,
    );
  }
  if (value.kind !== "map") {
    if (!isUnresolved(value)) {
      problems.add(
        value.origin,
        `${name} must be a map with the key "stage": found ${foundValue(toPlain(value))}`,
      );
    }
    return null;
  }
  const stage = stageOf(name, key, value, stages, problems);
  const from = inputsOf(name, key, value, stage, problems);
  const written = without(value, ["stage", "from"]);
  if (stage === null) return { name, key, stage, from, written, parameters: undefined };
  const draft = { name, key, stage, from, written };
  return { ...draft, parameters: parseParameters(draft, stage, problems) };
}

function isUnresolved(located: Located): boolean {
  return located.kind === "scalar" && located.unresolved === true;
}

function stageOf(
  name: string,
  key: Origin,
  node: LocatedMap,
  stages: ReadonlyMap<string, Stage>,
  problems: ProblemList,
): Stage | null {
  const allowed = [...stages.keys()];
  const written = child(node, "stage");
  if (written === null) {
    problems.add(
      key,
      `Missing key "stage" in ${name}: it must be ${
        enumerate(allowed.map((word) => JSON.stringify(word)), "or")
      }`,
    );
    return null;
  }
  const value = toPlain(written);
  const stage = stages.get(String(value));
  if (stage !== undefined) return stage;
  if (!isUnresolved(written)) {
    problems.add(
      written.origin,
      `Unknown stage ${foundValue(value)} in ${name}${didYouMeanOf(String(value), allowed)}`,
    );
  }
  return null;
}

function inputsOf(
  name: string,
  key: Origin,
  node: LocatedMap,
  stage: Stage | null,
  problems: ProblemList,
): Input[] {
  const written = child(node, "from");
  if (written === null) {
    if (stage !== null && stage.accepts.length > 0 && stage.fromIsOptional !== true) {
      problems.add(
        key,
        `Missing key "from" in ${name}: it must name the ${stage.accepts.join(" or ")} to read`,
      );
    }
    return [];
  }
  if (stage !== null && stage.accepts.length === 0) {
    problems.add(originOfKey(node, ["from"]), `${name}: the stage ${stage.name} takes no "from"`);
    return [];
  }
  if (written.kind === "list" && stage !== null && !stage.fansOut) {
    problems.add(
      written.origin,
      `${name}.from must be the name of one node: the stage ${stage.name} takes no list`,
    );
    return [];
  }
  const items = written.kind === "list" ? written.items : [written];
  if (items.length === 0) problems.add(written.origin, `${name}.from names no node`);
  const inputs: Input[] = [];
  for (const item of items) {
    const value = toPlain(item);
    if (isUnresolved(item)) continue;
    if (typeof value !== "string") {
      problems.add(
        item.origin,
        `${name}.from must be the name of a node: found ${foundValue(value)}`,
      );
    } else if (inputs.some((input) => input.name === value)) {
      problems.add(item.origin, `${name}.from names ${value} twice`);
    } else inputs.push({ name: value, origin: item.origin });
  }
  return inputs;
}

function checkInputs(
  { name, stage, from }: Draft,
  drafts: ReadonlyMap<string, Draft>,
  names: readonly string[],
  { problems }: NodeContext,
): void {
  for (const input of from) {
    if (!names.includes(input.name)) {
      const others = names.filter((other) => other !== name);
      problems.add(
        input.origin,
        `${name}.from names no node of the graph: found ${JSON.stringify(input.name)}` +
          didYouMean(input.name, others),
      );
      continue;
    }
    const made = drafts.get(input.name)?.stage?.produces;
    if (stage === null || made === undefined || stage.accepts.includes(made)) continue;
    const usable = names.filter((other) => {
      const kind = drafts.get(other)?.stage?.produces;
      return other !== name && kind !== undefined && stage.accepts.includes(kind);
    });
    problems.add(
      input.origin,
      `${name}.from must name a node that makes ${enumerate(stage.accepts.map(article), "or")}: ` +
        `${input.name} makes ${article(made)}` +
        (usable.length > 0 ? `; nodes that do: ${usable.join(", ")}` : ""),
    );
  }
}

function article(kind: string): string {
  if (kind === "metrics" || kind === "files") return kind;
  return `${/^[aeiou]/.test(kind) ? "an" : "a"} ${kind}`;
}

/** What only the stages above show to be wrong, once for each of the inputs. */
function checkCombination(
  draft: Draft,
  drafts: ReadonlyMap<string, Draft>,
  { problems }: NodeContext,
): void {
  const { stage, name, parameters } = draft;
  if (stage?.check === undefined || parameters === undefined) return;
  const chains = draft.from.length === 0
    ? [[]]
    : draft.from.map((input) => chainOf(input.name, drafts));
  for (const chain of chains) {
    if (chain === null) continue;
    for (const { path, message } of stage.check(parameters, chain)) {
      const steps = path === "" ? [] : path.split(".");
      problems.add(
        originInNode(draft, steps, "value"),
        `${[name, ...steps].join(".")}: ${message}`,
      );
    }
  }
}

/**
 * A node and those it stands on, nearest first; null if one of them is not valid. Only called for
 * nodes that are on no cycle.
 */
function chainOf(name: string, drafts: ReadonlyMap<string, Draft>): UpstreamStage[] | null {
  const draft = drafts.get(name);
  if (draft === undefined || draft.stage === null || draft.parameters === undefined) return null;
  const { from: [first], parameters, stage } = draft;
  const rest = first === undefined ? [] : chainOf(first.name, drafts);
  return rest === null ? null : [{ stage: stage.name, parameters }, ...rest];
}
