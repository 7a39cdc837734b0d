/**
 * What identifies a stage result (its key) and what is recorded beside it (its manifest).
 *
 * @module
 */

import { digestOf } from "./digest.ts";
import type { ArtifactKind, Metric, SourceDigest } from "./stage.ts";

export type { SourceDigest } from "./stage.ts";

/** Version of the store's layout and of the key's definition; part of every key. */
const STORE_FORMAT = 1;

/** Name of the manifest file in a result's folder. */
export const MANIFEST_NAME = "artifact.json";

/** Everything that decides a stage's result; its digest is the key. */
export interface StageIdentity {
  /** Kind of stage ("train"). */
  readonly stage: string;
  /** Version of that kind's implementation. */
  readonly version: number;
  /** As validated, with the references to sources as written. */
  readonly parameters: unknown;
  /** Names of parameters that do not count. */
  readonly incidental?: readonly string[];
  /** Content digests of the sources, by their place in the parameters ("data.text"). */
  readonly sources: Readonly<Record<string, SourceDigest>>;
  /** Keys of the results it reads. */
  readonly upstream: readonly string[];
  /** Seed, null where the result does not depend on it. */
  readonly seed: number | null;
  /** Device class, null where the result does not depend on it. */
  readonly device: string | null;
}

/** A file of a result. */
export interface ManifestFile {
  /** Relative to the result's folder, with `/`. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Hexadecimal. */
  readonly sha256: string;
}

/** Where the code of a result came from. */
export interface CodeVersion {
  /** Version in `deno.json`. */
  readonly version: string;
  /** Git commit, with "-dirty" behind it if the work tree differed; null without git. */
  readonly commit: string | null;
}

/** The device of a run, for people. */
export interface DeviceProvenance {
  /** "webgpu". */
  readonly name: string;
  /** Devices of one class give equal bits. */
  readonly class: string;
  /** "llvmpipe (LLVM 15.0.6, 256 bits)". */
  readonly description: string;
}

/** How a result came to be. */
export interface Provenance {
  /** Name of the experiment that made it first. */
  readonly experiment: string;
  /** The code that made it. */
  readonly equipoise: CodeVersion;
  /** Version of Deno. */
  readonly deno: string;
  /** "linux x86_64 6.1.0". */
  readonly os: string;
  /** Null if the stage used none. */
  readonly device: DeviceProvenance | null;
}

/** `artifact.json`: written last, so that a folder that has it is complete. */
export interface Manifest extends StageIdentity {
  /** Tells the file from others of its name. */
  readonly format: "equipoise/artifact";
  /** Content address. */
  readonly key: string;
  /** What later stages take it for. */
  readonly kind: ArtifactKind;
  /** Graph node, with the entry of `from` where it fans out ("quality.tuned"). */
  readonly node: string;
  /** By name ("perplexity"). */
  readonly metrics: Readonly<Record<string, StoredMetric>>;
  /** What else the stage says of its result. */
  readonly facts: Readonly<Record<string, string | number | boolean>>;
  /** All files of the result but this one, sorted by path. */
  readonly files: readonly ManifestFile[];
  /** Wall-clock seconds of the stage, without earlier attempts that it resumed. */
  readonly seconds: number;
  /** While the stage ran. */
  readonly peakMemory: PeakMemory;
  /** How the result came to be. */
  readonly provenance: Provenance;
  /** ISO 8601, UTC. */
  readonly created: string;
}

/** Largest memory in use while a stage ran, in bytes. */
export interface PeakMemory {
  /** Resident set of the process, sampled. */
  readonly host: number;
  /** Live tensors of the stage; null if it used no device. */
  readonly device: number | null;
}

/** A metric in JSON, which has no NaN and no infinities: those are strings. */
export interface StoredMetric {
  /** The number, or its name. */
  readonly value: number | "NaN" | "Infinity" | "-Infinity";
  /** In the units of the value. */
  readonly standardError?: number | "NaN" | "Infinity" | "-Infinity";
  /** How it was measured ("window-512"). */
  readonly protocol?: string;
}

/** The content address of a stage result: 64 hexadecimal digits. */
export function keyOf(identity: StageIdentity): string {
  const { stage, version, upstream, seed, device } = identity;
  return digestOf({
    format: STORE_FORMAT,
    stage,
    version,
    parameters: keyedParameters(identity),
    upstream,
    seed,
    device,
  });
}

/**
 * The parameters that count, with every source replaced by what it contains: renaming a file changes
 * nothing.
 */
function keyedParameters(identity: StageIdentity): unknown {
  const parameters = structuredClone(identity.parameters) as Record<string, unknown>;
  for (const name of identity.incidental ?? []) delete parameters[name];
  for (const [path, { sha256 }] of Object.entries(identity.sources)) {
    replaceAt(parameters, path, `sha256:${sha256}`);
  }
  return parameters;
}

/**
 * What is read in place of each reference that stands for something else tomorrow: a branch on the Hub
 * is the commit that was planned with.
 */
export function pinnedReferences(
  sources: Iterable<Readonly<Record<string, SourceDigest>>>,
): Map<string, string> {
  const digests = [...sources].flatMap((byPath) => Object.values(byPath));
  return new Map(
    digests.flatMap(({ reference, pinned }) =>
      pinned === undefined ? [] : [[reference, pinned] as const]
    ),
  );
}

/** Bytes of all files of a result. */
export function sizeOfResult(manifest: Manifest): number {
  return manifest.files.reduce((sum, { size }) => sum + size, 0);
}

/** A metric as JSON can hold it. */
export function storeMetric(metric: Metric): StoredMetric {
  const { value, standardError, protocol } = metric;
  return {
    value: storeNumber(value),
    ...(standardError === undefined ? {} : { standardError: storeNumber(standardError) }),
    ...(protocol === undefined ? {} : { protocol }),
  };
}

/** A metric as it was measured. */
export function loadMetric(metric: StoredMetric): Metric {
  const { value, standardError, protocol } = metric;
  return {
    value: Number(value),
    ...(standardError === undefined ? {} : { standardError: Number(standardError) }),
    ...(protocol === undefined ? {} : { protocol }),
  };
}

function storeNumber(value: number): StoredMetric["value"] {
  return Number.isFinite(value) ? value : String(value) as StoredMetric["value"];
}

function replaceAt(root: unknown, path: string, value: string): void {
  const steps = path.split(".");
  const last = steps.pop() as string;
  let parent = root;
  for (const step of steps) parent = isRecord(parent) ? parent[step] : undefined;
  if (!isRecord(parent) || !(last in parent)) {
    throw new TypeError(`A stage lists a source at "${path}", where it has no parameter`);
  }
  parent[last] = value;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
