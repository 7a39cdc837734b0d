/**
 * Turns an experiment file, or an object of a script, into an `Experiment`.
 *
 * @module
 */

import { basename, dirname, extname, resolve } from "node:path";
import { UserError } from "../errors.ts";
import type { Cell, Experiment, Position } from "./experiment.ts";
import { readExperimentFile } from "./extends.ts";
import { axisPath, declaredAxes, expandGrid } from "./grid.ts";
import { Interpolator } from "./interpolation.ts";
import {
  fromPlain,
  keysAt,
  type LocatedMap,
  lookup,
  originOf,
  originOfKey,
  place,
  toPlain,
  without,
} from "./located.ts";
import { resolveNodes } from "./nodes.ts";
import { applyOverrides } from "./overrides.ts";
import { checkParameterPath, type NamedNode, type NamedParts } from "./path_checks.ts";
import { ProblemList } from "./problems.ts";
import { applyScale } from "./scale.ts";
import { experimentShape, NAME } from "./schema.ts";
import { jsonSchemaOf } from "./schema_paths.ts";
import type { Stage } from "./stage.ts";
import { resolveTable } from "./table.ts";
import { explainIssues } from "./validation_messages.ts";

/** What an experiment is read with. */
export interface ExperimentOptions {
  /** All stages that `stage:` can name. */
  readonly stages: readonly Stage[];
  /** Changes from the command line, each `path=value`. */
  readonly set?: readonly string[];
  /**
   * Folder that relative paths in `set` start from.
   *
   * @default the current folder
   */
  readonly setFolder?: string;
  /**
   * Looks up `${env:NAME}`.
   *
   * @default Deno.env.get
   */
  readonly environment?: (name: string) => string | undefined;
}

/** What an experiment from a script is read with. */
export interface ObjectOptions extends ExperimentOptions {
  /** Relative paths in parameters are relative to this folder. */
  readonly folder: string;
}

/**
 * Reads an experiment file with the files that it `extends`, applies `set`, expands the grid and checks
 * every cell.
 *
 * @param file Positions in messages show it as it is given here.
 * @throws {ConfigurationError} With all mistakes at once.
 */
export async function loadExperiment(
  file: string,
  options: ExperimentOptions,
): Promise<Experiment> {
  const problems = new ProblemList();
  const root = await readExperimentFile(file, problems);
  // A file that is not YAML, or a base that is missing, would make nonsense of all further checks.
  problems.throwIfAny();
  if (root === null) throw new UserError(`Cannot read ${JSON.stringify(file)}`);
  return build(root, problems, options, {
    name: basename(file, extname(file)),
    file: resolve(file),
    folder: resolve(dirname(file)),
  });
}

/**
 * Checks an experiment that a script states as an object with the keys of an experiment file; `name` is
 * required.
 *
 * @throws {ConfigurationError} With all mistakes at once.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { ConfigurationError } from "./experiment.ts";
 *
 * assert.throws(
 *   () => experimentFromObject({ name: "empty", graf: {} }, { stages: [], folder: "." }),
 *   (error) => error instanceof ConfigurationError && error.message.includes('mean "graph"?'),
 * );
 * ```
 */
export function experimentFromObject(object: unknown, options: ObjectOptions): Experiment {
  const problems = new ProblemList();
  const folder = resolve(options.folder);
  const origin = { position: null, folder };
  const root = fromPlain(object, origin, [], problems);
  if (root.kind !== "map") {
    problems.add(origin, 'An experiment must be an object with the key "graph"');
  }
  problems.throwIfAny();
  return build(root as LocatedMap, problems, options, { name: null, file: null, folder });
}

interface Identity {
  /** Used if the document gives none; null if it must. */
  readonly name: string | null;
  readonly file: string | null;
  readonly folder: string;
}

function build(
  root: LocatedMap,
  problems: ProblemList,
  options: ExperimentOptions,
  identity: Identity,
): Experiment {
  const folder = resolve(options.setFolder ?? ".");
  const scaled = applyScale(root, identity.name, options.set ?? [], folder, problems);
  const overridden = applyOverrides(scaled.document, scaled.settings, folder, problems);
  const name = nameOf(overridden, identity, problems);
  const document = soundPart(
    overridden,
    identity.file === null ? [] : ["extends"],
    problems,
  );
  const stages = new Map(options.stages.map((stage) => [stage.name, stage]));
  const grid = expandGrid(document, problems);
  const environment = options.environment ?? readEnvironment;
  const cells = grid.cells.map((cell, index): Cell => ({
    index,
    values: axisValues(cell, grid.axes, problems),
    seed: seedOf(cell, problems),
    nodes: resolveNodes(cell, {
      stages,
      interpolator: new Interpolator(variablesOf(cell), environment, problems),
      problems,
    }),
  }));
  const parts = namedParts(document, grid.axes, cells, stages);
  checkExclusions(document, parts, problems);
  const table = resolveTable(document, parts, problems);
  problems.throwIfAny();
  return {
    name,
    file: identity.file,
    folder: identity.folder,
    cells,
    axes: grid.axes,
    table,
    document: { name, ...toPlain(without(document, ["$schema", "name"])) as object },
    position: (path) => positionOf(document, path),
  };
}

function readEnvironment(name: string): string | undefined {
  try {
    return Deno.env.get(name);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotCapable)) throw error;
    throw new UserError(
      `The experiment reads the environment variable ${name}: allow it with --allow-env=${name}`,
    );
  }
}

function nameOf(document: LocatedMap, identity: Identity, problems: ProblemList): string {
  const written = lookup(document, ["name"]);
  const name = written === null ? identity.name : toPlain(written) ?? identity.name;
  if (name === null) {
    problems.add(document.origin, 'Missing key "name": it must name the folder of the results');
  } else if (written === null && !NAME.test(String(name))) {
    problems.add(
      document.origin,
      `Missing key "name": the file's name ${JSON.stringify(name)} cannot name a folder of results`,
    );
  }
  return String(name);
}

/** The document without the parts whose shape is wrong, which are reported. */
function soundPart(
  document: LocatedMap,
  keys: readonly string[],
  problems: ProblemList,
): LocatedMap {
  const value = toPlain(document);
  const parsed = experimentShape.safeParse(value);
  let sound = document;
  if (!parsed.success) {
    const checked = { value, schema: jsonSchemaOf(experimentShape), label: "", keys };
    for (const { path, about, message } of explainIssues(parsed.error.issues, checked)) {
      const origin = about === "key" ? originOfKey(document, path) : originOf(document, path);
      problems.add(origin, message);
      const [section = "", axis] = path;
      const grid = lookup(sound, ["grid"]);
      // One bad axis must not hide the mistakes of the others.
      sound = section === "grid" && axis !== undefined && grid?.kind === "map"
        ? place(sound, ["grid"], without(grid, [axis]), originOfKey(sound, ["grid"])) as LocatedMap
        : without(sound, [section]);
    }
  }
  const graph = lookup(document, ["graph"]);
  if (graph?.kind === "map" && graph.entries.size === 0) {
    problems.add(originOfKey(document, ["graph"]), "graph must have at least one node");
  }
  return sound;
}

function variablesOf(document: LocatedMap): LocatedMap | null {
  const variables = lookup(document, ["vars"]);
  return variables?.kind === "map" ? variables : null;
}

function seedOf(cell: LocatedMap, problems: ProblemList): number {
  const written = lookup(cell, ["seed"]);
  const seed = written === null ? 0 : toPlain(written) ?? 0;
  if (typeof seed === "number" && Number.isSafeInteger(seed) && seed >= 0) return seed;
  problems.add(
    originOf(cell, ["seed"]),
    `seed must be a whole number of at least 0: found ${JSON.stringify(seed)}`,
  );
  return 0;
}

/**
 * The values that tell a cell from others, with variables replaced; environment variables stay as they
 * are written, because they differ between machines.
 */
function axisValues(
  cell: LocatedMap,
  axes: readonly string[],
  problems: ProblemList,
): Record<string, unknown> {
  const interpolator = new Interpolator(variablesOf(cell), (name) => `\${env:${name}}`, problems);
  const values: Record<string, unknown> = {};
  for (const axis of axes) {
    const path = axisPath(axis, cell);
    const value = path === null ? null : lookup(cell, path);
    if (value !== null) values[axis] = toPlain(interpolator.apply(value));
  }
  return values;
}

function namedParts(
  document: LocatedMap,
  axes: readonly string[],
  cells: readonly Cell[],
  stages: ReadonlyMap<string, Stage>,
): NamedParts {
  const names = keysAt(document, ["graph"]);
  const nodes = new Map<string, NamedNode & { readonly inputs: Set<string> }>(
    names.map((name) => [name, { stage: null, inputs: new Set() }]),
  );
  for (const { name, stage, from } of cells.flatMap((cell) => cell.nodes)) {
    const inputs = nodes.get(name)?.inputs ?? new Set();
    for (const input of from) inputs.add(input);
    nodes.set(name, { stage: stages.get(stage) ?? null, inputs });
  }
  return { axes, variables: keysAt(document, ["vars"]), nodes };
}

/** A misspelt path in `exclude` would match no cell and go unnoticed. */
function checkExclusions(document: LocatedMap, parts: NamedParts, problems: ProblemList): void {
  const exclude = lookup(document, ["exclude"]);
  for (const item of exclude?.kind === "list" ? exclude.items : []) {
    if (item.kind !== "map") continue;
    for (const [path, { key }] of item.entries) {
      // What names no node at all is reported with the grid.
      if (axisPath(path, document) === null) continue;
      checkParameterPath(path, "exclude", key, parts, problems);
    }
  }
}

/** A position that holds for all cells: of an axis its name, of a variable the place of its value. */
function positionOf(document: LocatedMap, path: string): Position | null {
  for (const { axis, key } of declaredAxes(document)) {
    if (path === axis || path.startsWith(`${axis}.`)) return key.position;
  }
  const steps = path.split(".");
  const isInGraph = lookup(document, ["graph", steps[0] ?? ""]) !== null;
  const full = isInGraph ? ["graph", ...steps] : steps;
  const value = lookup(document, full);
  if (value === null) return originOfKey(document, full).position;
  const interpolator = new Interpolator(variablesOf(document), () => "", new ProblemList());
  return interpolator.apply(value).origin.position;
}
