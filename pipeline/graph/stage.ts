/**
 * What the graph knows of a stage: its parameters, what it reads, what it makes, and how to run it.
 * Stages implement this interface in `pipeline/stages/`; nothing else of them is visible here.
 *
 * @module
 */

import type { z } from "zod";
import type { CountingDevice } from "../../kernels/counting/device.ts";
import type { Device } from "../../kernels/device.ts";

/** What a stage leaves in the store. */
export type ArtifactKind = "model" | "adapter" | "metrics" | "files";

/** A complete stage result: an immutable folder in the store. */
export interface Artifact {
  readonly kind: ArtifactKind;
  /** Hexadecimal content address. */
  readonly key: string;
  readonly folder: string;
  /** Name of the graph node that made it ("tuned"), for messages. */
  readonly node: string;
}

/** A file or folder outside the store that a stage reads; its digest enters the stage's key. */
export interface Source {
  /** As the user wrote it, after `${vars}`: a path, a glob, `npm:name/glob` or `hf:org/name`. */
  readonly reference: string;
  /** Where in the parameters it stands ("data.text"), for error positions. */
  readonly path: string;
}

/** A source as it was when the stage was planned. */
export interface SourceDigest {
  /** As the user wrote it. */
  readonly reference: string;
  /** Hexadecimal SHA-256 of its content. */
  readonly sha256: string;
  /** The reference with the commit that its revision stood for, of one on the Hub: what is read. */
  readonly pinned?: string;
}

/** A stage whose result another one reads, directly or through further stages. */
export interface UpstreamStage {
  /** Kind of stage ("quantize"). */
  readonly stage: string;
  /** As its own schema parsed them. */
  readonly parameters: unknown;
}

/** A stage whose result is there. */
export interface FinishedStage extends UpstreamStage {
  /** Key of its result. */
  readonly key: string;
  /** Name of the graph node ("base"). */
  readonly node: string;
  /** What it read outside the store, by the place in its parameters ("model"). */
  readonly sources: Readonly<Record<string, SourceDigest>>;
}

/** One number of a result. */
export interface Metric {
  /** The number. */
  readonly value: number;
  /** Standard error of `value`. */
  readonly standardError?: number;
  /** How it was measured ("window-512"), where more than one convention exists. */
  readonly protocol?: string;
}

/** What a running stage tells the person who waits for it. */
export interface Progress {
  /** "quantizing model.layers.1.mlp.up_proj". */
  readonly activity: string;
  /** Steps done and steps in all, where that is known. */
  readonly done?: number;
  /** Steps in all. */
  readonly total?: number;
  /** Live numbers worth seeing ("loss" 3.21, "tokens/s" 1500). */
  readonly values?: Readonly<Record<string, number>>;
}

/** Everything a stage may use while it runs. */
export interface StageContext<Parameters> {
  readonly parameters: Parameters;
  /** The `seed` of this cell. */
  readonly seed: number;
  /** The result named by `from`, if the stage takes one. */
  readonly input: Artifact | null;
  /** The chain of `from`, nearest first, as the experiment of this cell has it. */
  readonly upstream: readonly FinishedStage[];
  /** A result further up: the base of an adapter, by the key that its `artifact.json` names. */
  artifact(key: string): Promise<Artifact>;
  /**
   * Absolute path of a source of this stage or of one upstream: a file, a folder, or (for globs) the
   * sorted list of files.
   */
  resolve(source: Source): Promise<readonly string[]>;
  /** Empty folder to fill; it becomes the artifact, atomically, when `run` returns. */
  readonly folder: string;
  /** Folder that survives an interruption; what is in it was left by the same key. */
  readonly checkpoint: string;
  device(): Promise<Device>;
  report(progress: Progress): void;
  /** Append-only log lines of this stage (`runs/<name>/logs/`). */
  log(line: string): void;
  /** A log line that a person should see: what was cut, left out, or done in place of what was asked. */
  remark(line: string): void;
  /** Aborted by Ctrl-C: save a checkpoint and throw `signal.reason`. */
  readonly signal: AbortSignal;
}

/** Result of a stage besides the files in its folder. */
export interface StageOutcome {
  readonly metrics: Readonly<Record<string, Metric>>;
  /** Facts for people and provenance ("parameters": 131072, "pooling": "average"). */
  readonly facts?: Readonly<Record<string, string | number | boolean>>;
}

/** What is known of a stage before it runs, from parameters and headers, without a weight. */
export interface Forecast {
  /** What its artifact will be, for the stages that read it; they know the type. */
  readonly outline: unknown;
  /**
   * Makes the allocations of a run, in its order and its phases, on a device that only counts; what
   * the host holds besides goes into the ledger of that device.
   */
  rehearse(device: CountingDevice): void;
}

/** What a stage may know when it makes its {@linkcode Forecast}. */
export interface ForecastContext<Parameters> {
  readonly parameters: Parameters;
  /** The outline of the result named by `from`, if the stage takes one. */
  readonly input: unknown;
  /** Absolute paths of a source. */
  resolve(source: Source): Promise<readonly string[]>;
}

/** A setting that decides how much memory a stage takes. */
export interface MemorySetting {
  /** Where in the parameters it stands ("batch_size"). */
  readonly path: string;
  /** Values that need less than `value`, those that need most first. */
  smaller(value: unknown): readonly unknown[];
}

/** A kind of node of the experiment graph. */
export interface Stage<Parameters = unknown> {
  /** The value of `stage:` in the experiment file. */
  readonly name: string;
  /** Bumped whenever equal parameters would give a different result. */
  readonly version: number;
  /** One line for `--help` and the JSON Schema. */
  readonly summary: string;
  /** Keys of the node besides `stage` and `from`; a strict zod object. */
  readonly parameters: z.ZodType<Parameters>;
  /** Kinds of artifact that `from` may name; empty if the stage takes no `from`. */
  readonly accepts: readonly ArtifactKind[];
  /** True if the stage also runs without `from`, on what its parameters name. */
  readonly fromIsOptional?: boolean;
  /**
   * True if `from` may be a list, which stands for one stage per entry ("quality.tuned"); a single
   * entry `quality: { from: tuned }` is then also addressed as `quality.tuned`.
   */
  readonly fansOut?: boolean;
  readonly produces: ArtifactKind;
  /** Whether the result depends on the seed or the device class, which then enter the key. */
  dependsOn(parameters: Parameters): { readonly seed: boolean; readonly device: boolean };
  /**
   * Parameters that the result does not depend on (how often training saves itself): they stay out
   * of the key, so that changing them reruns nothing and loses no checkpoint.
   */
  readonly incidental?: readonly string[];
  /** Files outside the store that the stage reads. */
  sources(parameters: Parameters): readonly Source[];
  /**
   * Mistakes that only the combination with the stages above shows (an adapter form that its
   * quantizer cannot hold); `upstream` lists the chain of `from`, nearest first.
   */
  check?(
    parameters: Parameters,
    upstream: readonly UpstreamStage[],
  ): readonly { readonly path: string; readonly message: string }[];
  /** See {@linkcode Forecast}; absent if the memory of the stage is not worth a plan. */
  forecast?(context: ForecastContext<Parameters>): Promise<Forecast>;
  /** What to change where memory does not suffice, the least harmful first. */
  readonly memorySettings?: readonly MemorySetting[];
  run(context: StageContext<Parameters>): Promise<StageOutcome>;
}
