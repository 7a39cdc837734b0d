/**
 * A validated experiment: what a YAML file (or an object of a script) declares, with variables,
 * inheritance, overrides and the grid resolved into cells.
 *
 * @module
 */

/** Where in a file a value stands, 1-based. */
export interface Position {
  /** Path of the file. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
}

/** One node of the graph in one cell, its parameters parsed and defaulted by its stage's schema. */
export interface GraphNode {
  /** "base". */
  readonly name: string;
  /** "quantize". */
  readonly stage: string;
  /** As its schema parsed them. */
  readonly parameters: unknown;
  /** Names of the nodes it reads, in the order written. */
  readonly from: readonly string[];
}

/** One point of the grid. */
export interface Cell {
  /** Position in the grid. */
  readonly index: number;
  /** Axis path to value: {"base.quantizer.bits": 4, "seed": 1}. */
  readonly values: Readonly<Record<string, unknown>>;
  /** Seed of everything random. */
  readonly seed: number;
  /** In topological order, stable with respect to the file. */
  readonly nodes: readonly GraphNode[];
}

/** The `table:` section. */
export interface TableSpecification {
  /** Axis or parameter paths that label rows ("adapter.form"). */
  readonly rows: readonly string[];
  /** Axis or parameter paths that label columns. */
  readonly columns: readonly string[];
  /** Metric paths "node.input.metric"; with more than one, each becomes a column (group). */
  readonly values: readonly string[];
  /** Axes to average over (mean and standard deviation). */
  readonly over: readonly string[];
  /** Caption. */
  readonly title?: string;
}

/** A whole experiment. */
export interface Experiment {
  /** Folder of the results under `runs/`. */
  readonly name: string;
  /** Absolute path of the YAML file; null for an experiment from a script. */
  readonly file: string | null;
  /** Relative paths in parameters are relative to this folder. */
  readonly folder: string;
  /** Points of the grid. */
  readonly cells: readonly Cell[];
  /** Axis paths in the order declared. */
  readonly axes: readonly string[];
  /** The `table:` section, if there is one. */
  readonly table: TableSpecification | null;
  /** The file after `extends` and `--set`, before `${vars}` and the grid: canonical, printable. */
  readonly document: unknown;
  /** Position of a node's parameter, for errors found later ("base.quantizer.group_size"). */
  position(path: string): Position | null;
}

/** One mistake in an experiment. */
export interface Problem {
  /** Where; null for a mistake of the command line or a script. */
  readonly position: Position | null;
  /** What is wrong, what is allowed, and the likely intention. */
  readonly message: string;
}

/** All mistakes of an experiment at once; `message` has one line each, `file:line:column: text`. */
export class ConfigurationError extends Error {
  /** Fixed name. */
  override readonly name = "ConfigurationError";
  /** All mistakes. */
  readonly problems: readonly Problem[];

  /** Joins the problems into one message. */
  constructor(problems: readonly Problem[]) {
    super(
      problems.map(({ position, message }) =>
        position === null
          ? message
          : `${position.file}:${position.line}:${position.column}: ${message}`
      ).join("\n"),
    );
    this.problems = problems;
  }
}
