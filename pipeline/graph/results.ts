/**
 * The results of a run: one row per cell, every row leading back to what made it.
 *
 * The JSON form, `results.json`, is documented in `docs/formats.md`.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import { readJsonOrNull } from "../formats/files.ts";
import type { TableSpecification } from "./experiment.ts";
import {
  type CodeVersion,
  type DeviceProvenance,
  loadMetric,
  type Manifest,
  type PeakMemory,
  type SourceDigest,
  type StoredMetric,
} from "./manifest.ts";
import type { Plan, PlannedCell, PlannedStage } from "./plan.ts";
import type { Metric } from "./stage.ts";
import type { Store } from "./store.ts";

/** Version of the schema of `results.json`. */
const RESULTS_VERSION = 1 as const;

/** How a stage ended. */
export type StageResult =
  | { readonly status: "cached" | "done" | "cancelled" }
  /** `skipped`: something it reads failed. */
  | { readonly status: "failed" | "skipped"; readonly message: string };

/** A whole run. */
export interface Results {
  /** Tells this file from others. */
  readonly format: "equipoise/results";
  /** Version of this schema. */
  readonly version: 1;
  /** Name of the experiment. */
  readonly name: string;
  /** `failed` if some cell failed, `interrupted` if some cell did not get its turn. */
  readonly status: "done" | "failed" | "interrupted";
  /** Axis paths of the grid in the order declared. */
  readonly axes: readonly string[];
  /** One row per cell. */
  readonly cells: readonly CellResult[];
  /** Unique stages by key. */
  readonly stages: Readonly<Record<string, StageRecord>>;
  /** The `table:` section of the experiment. */
  readonly table: TableSpecification | null;
  /** How the run was made. */
  readonly provenance: RunProvenance;
}

/** One row. */
export interface CellResult {
  /** Position in the grid. */
  readonly index: number;
  /** Axis path to value. */
  readonly values: Readonly<Record<string, unknown>>;
  /** Seed of this cell. */
  readonly seed: number;
  /** `cancelled` if the run ended before its turn. */
  readonly status: "done" | "failed" | "cancelled";
  /** Why it failed, null otherwise. */
  readonly error: string | null;
  /** By stage and name: "quality.tuned.perplexity". */
  readonly metrics: Readonly<Record<string, Metric>>;
  /** Key of each stage by its id ("base", "quality.tuned"). */
  readonly stages: Readonly<Record<string, string>>;
  /** The graph of this cell as validated, by node. */
  readonly nodes: Readonly<
    Record<string, { readonly stage: string; readonly parameters: unknown }>
  >;
  /** Sum over its stages, cached ones with the time they once took. */
  readonly seconds: number;
  /** Largest of its stages, bytes; null if no stage is complete. */
  readonly peakMemory: PeakMemory | null;
}

/** One unique stage of a run. */
export interface StageRecord {
  /** "quality.tuned". */
  readonly node: string;
  /** Kind of stage ("train"). */
  readonly stage: string;
  /** How it ended. */
  readonly status: StageResult["status"];
  /** Why it failed, null otherwise. */
  readonly error: string | null;
  /** Of the stage's complete result; null if there is none. */
  readonly result: StageRecordResult | null;
}

/** What the manifest of a complete stage says. */
export interface StageRecordResult {
  /** ISO 8601, UTC. */
  readonly created: string;
  /** Wall time of the stage. */
  readonly seconds: number;
  /** Largest memory in use, in bytes. */
  readonly peakMemory: PeakMemory;
  /** What else the stage said of itself. */
  readonly facts: Readonly<Record<string, string | number | boolean>>;
  /** What it ran on; null if it did not compute. */
  readonly device: DeviceProvenance | null;
  /** Version that made it. */
  readonly equipoise: CodeVersion;
}

/** How a run was made. */
export interface RunProvenance {
  /** Version that ran it. */
  readonly equipoise: CodeVersion;
  /** Version of Deno. */
  readonly deno: string;
  /** Operating system, architecture and kernel. */
  readonly os: string;
  /** The device chosen for this run; null if no stage depends on one. */
  readonly device: DeviceProvenance | null;
  /** As typed; null for a run from a script. */
  readonly command: string | null;
  /** ISO 8601, UTC. */
  readonly started: string;
  /** ISO 8601, UTC. */
  readonly finished: string;
  /** Everything read from outside the store. */
  readonly data: readonly SourceDigest[];
}

/** Collects the results of a run from the store. */
export async function collectResults(
  plan: Plan,
  ends: ReadonlyMap<string, StageResult>,
  store: Store,
  provenance: Omit<RunProvenance, "data">,
): Promise<Results> {
  const manifests = new Map<string, Manifest>();
  for (const [key, { status }] of ends) {
    if (status === "cached" || status === "done") manifests.set(key, await store.manifest(key));
  }
  const cells = plan.cells.map((cell) => cellResult(cell, ends, manifests));
  const statuses = new Set(cells.map(({ status }) => status));
  const { name, axes, table } = plan.experiment;
  return {
    format: "equipoise/results",
    version: RESULTS_VERSION,
    name,
    status: statuses.has("failed") ? "failed" : statuses.has("cancelled") ? "interrupted" : "done",
    axes,
    cells,
    stages: Object.fromEntries(
      plan.stages.map((stage) => [stage.key, stageRecord(stage, ends, manifests)]),
    ),
    table,
    provenance: { ...provenance, data: dataOf(plan) },
  };
}

/** `results.json` as text. NaN and infinities, which JSON lacks, become strings. */
export function stringifyResults(results: Results): string {
  return JSON.stringify(
    results,
    (_, value) => typeof value === "number" && !Number.isFinite(value) ? String(value) : value,
    2,
  ) + "\n";
}

/**
 * Reads a `results.json`; null if there is none.
 *
 * @throws {UserError} If the file is not JSON, or of another format or version.
 */
export function readResults(path: string): Results | null {
  const json = readJsonOrNull(path);
  if (json === null) return null;
  const results = json as unknown as Results;
  if (results.format !== "equipoise/results" || results.version !== RESULTS_VERSION) {
    throw new UserError(
      `${path} is not the results of this version: wanted "format": "equipoise/results", ` +
        `"version": ${RESULTS_VERSION}; run the experiment again`,
    );
  }
  return {
    ...results,
    cells: results.cells.map((cell) => ({
      ...cell,
      metrics: mapValues(cell.metrics, (metric) => loadMetric(metric as StoredMetric)),
    })),
  };
}

function cellResult(
  { cell, keys }: PlannedCell,
  ends: ReadonlyMap<string, StageResult>,
  manifests: ReadonlyMap<string, Manifest>,
): CellResult {
  const metrics: Record<string, Metric> = {};
  let seconds = 0;
  let peakMemory: PeakMemory | null = null;
  for (const [id, key] of keys) {
    const manifest = manifests.get(key);
    if (manifest === undefined) continue;
    for (const [name, metric] of Object.entries(manifest.metrics)) {
      metrics[`${id}.${name}`] = loadMetric(metric);
    }
    seconds += manifest.seconds;
    peakMemory = largest(peakMemory, manifest.peakMemory);
  }
  const stageEnds = [...keys].map(([id, key]) => [id, ends.get(key)] as const);
  const failure = stageEnds.find(([, end]) => end?.status === "failed");
  const complete = stageEnds.every(([, end]) => end?.status === "done" || end?.status === "cached");
  return {
    index: cell.index,
    values: cell.values,
    seed: cell.seed,
    status: failure !== undefined ? "failed" : complete ? "done" : "cancelled",
    error: failure?.[1]?.status === "failed" ? `${failure[0]}: ${failure[1].message}` : null,
    metrics,
    stages: Object.fromEntries(keys),
    nodes: Object.fromEntries(
      cell.nodes.map(({ name, stage, parameters }) => [name, { stage, parameters }]),
    ),
    seconds: Math.round(seconds * 1000) / 1000,
    peakMemory,
  };
}

function stageRecord(
  { key, id, identity }: PlannedStage,
  ends: ReadonlyMap<string, StageResult>,
  manifests: ReadonlyMap<string, Manifest>,
): StageRecord {
  const end = ends.get(key) ?? { status: "cancelled" };
  const manifest = manifests.get(key);
  return {
    node: id,
    stage: identity.stage,
    status: end.status,
    error: "message" in end ? end.message : null,
    result: manifest === undefined ? null : {
      created: manifest.created,
      seconds: manifest.seconds,
      peakMemory: manifest.peakMemory,
      facts: manifest.facts,
      device: manifest.provenance.device,
      equipoise: manifest.provenance.equipoise,
    },
  };
}

function largest(left: PeakMemory | null, right: PeakMemory): PeakMemory {
  if (left === null) return right;
  const device = left.device === null || right.device === null
    ? left.device ?? right.device
    : Math.max(left.device, right.device);
  return { host: Math.max(left.host, right.host), device };
}

function dataOf(plan: Plan): SourceDigest[] {
  const data = new Map<string, SourceDigest>();
  for (const { identity } of plan.stages) {
    for (const source of Object.values(identity.sources)) data.set(source.reference, source);
  }
  return [...data.values()];
}

function mapValues<From, To>(
  record: Readonly<Record<string, From>>,
  map: (value: From) => To,
): Record<string, To> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)]));
}
