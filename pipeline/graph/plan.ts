/**
 * The plan: every stage of every cell once, with its key and whether it has to run.
 *
 * @module
 */

import { resolveSource } from "../data/source.ts";
import { UserError } from "../errors.ts";
import { HubPins } from "../hub/pins.ts";
import { isHubReference } from "../hub/reference.ts";
import type { DownloadListener } from "../hub/resolve.ts";
import {
  type Cell,
  ConfigurationError,
  type Experiment,
  type GraphNode,
  type Problem,
} from "./experiment.ts";
import { explainRun } from "./explain.ts";
import {
  type DeviceProvenance,
  keyOf,
  sizeOfResult,
  type SourceDigest,
  type StageIdentity,
} from "./manifest.ts";
import { digestSource } from "./source_digest.ts";
import type { Stage } from "./stage.ts";
import type { Store } from "./store.ts";

/** Whether a stage runs, and why. */
export type Decision =
  | {
    readonly action: "cached";
    /** ISO 8601, UTC. */
    readonly created: string;
    /** Size of the result. */
    readonly bytes: number;
  }
  | { readonly action: "runs"; readonly reason: string }
  | { readonly action: "resumes"; readonly reason: string };

/** One stage with one set of inputs, shared by all cells that need it. */
export interface PlannedStage {
  /** Content address of its result. */
  readonly key: string;
  /** Graph node, with the entry of `from` where it fans out ("quality.tuned"). */
  readonly id: string;
  /** What the key is made of. */
  readonly identity: StageIdentity;
  /** Indices of the cells that share it. */
  readonly cells: readonly number[];
  /** What will happen to it, and why. */
  readonly decision: Decision;
}

/** The stages of one cell. */
export interface PlannedCell {
  /** The point of the grid. */
  readonly cell: Cell;
  /** Key of each stage by its id ("tuned", "quality.tuned"), in topological order. */
  readonly keys: ReadonlyMap<string, string>;
}

/** The device that stages of a plan compute on. */
export interface PlannedDevice extends DeviceProvenance {
  /** Why it was chosen, as a clause: "this machine has no GPU". */
  readonly reason: string;
}

/** What a run will do. */
export interface Plan {
  /** What is planned. */
  readonly experiment: Experiment;
  /** Unique stages; each stands behind those it reads. */
  readonly stages: readonly PlannedStage[];
  /** All cells, in the order of the experiment. */
  readonly cells: readonly PlannedCell[];
  /** What computes; null if no key depends on it. */
  readonly device: PlannedDevice | null;
}

/** What planning needs to know of the world. */
export interface PlanContext {
  /** All stages that nodes may name. */
  readonly stages: readonly Stage[];
  /** Where results are looked for. */
  readonly store: Store;
  /** The device that would run the stages; called, once, only if a key depends on it. */
  device(): Promise<PlannedDevice>;
  /** How sources on the Hub are downloaded. */
  readonly hub?: DownloadListener;
}

/**
 * Expands the cells of an experiment into unique stages and decides which of them run.
 *
 * @throws {ConfigurationError} If sources are missing; all of them at once, with positions.
 */
export async function makePlan(experiment: Experiment, context: PlanContext): Promise<Plan> {
  const planner = new Planner(experiment, context);
  await planner.checkSources();
  const cells: PlannedCell[] = [];
  for (const cell of experiment.cells) cells.push(await planner.planCell(cell));
  planner.throwProblems();
  return { experiment, stages: await planner.decide(), cells, device: planner.device };
}

/** A stage before its decision. */
interface Draft {
  readonly key: string;
  readonly id: string;
  readonly identity: StageIdentity;
  readonly cells: Set<number>;
}

class Planner {
  device: PlannedDevice | null = null;
  readonly #experiment: Experiment;
  readonly #context: PlanContext;
  readonly #stages: ReadonlyMap<string, Stage>;
  readonly #drafts = new Map<string, Draft>();
  readonly #pins: HubPins;
  readonly #sources = new Map<string, Promise<SourceDigest>>();
  /** By message with position: cells of a grid repeat their mistakes. */
  readonly #problems = new Map<string, Problem>();

  constructor(experiment: Experiment, context: PlanContext) {
    this.#experiment = experiment;
    this.#context = context;
    this.#stages = new Map(context.stages.map((stage) => [stage.name, stage]));
    this.#pins = new HubPins(context.hub);
  }

  /** Names that stand for nothing are all found before hours of downloading and hashing. */
  async checkSources(): Promise<void> {
    const sources = this.#experiment.cells.flatMap(({ nodes }) => nodes)
      .flatMap(({ name, stage, parameters }) =>
        (this.#stages.get(stage)?.sources(parameters) ?? [])
          .map(({ reference, path }) => ({ reference, place: `${name}.${path}` }))
      );
    const messages = new Map<string, string>();
    // Repositories side by side: where there is no network, each keeps trying for a while.
    const queues = Map.groupBy(new Set(sources.map(({ reference }) => reference)), repositoryOf);
    await Promise.all([...queues.values()].map(async (references) => {
      for (const reference of references) {
        try {
          await this.#check(reference);
        } catch (error) {
          if (!(error instanceof UserError)) throw error;
          messages.set(reference, error.message);
        }
      }
    }));
    for (const { reference, place } of sources) {
      const message = messages.get(reference);
      if (message !== undefined) this.#report(place, message);
    }
    this.throwProblems();
  }

  async planCell(cell: Cell): Promise<PlannedCell> {
    const keys = new Map<string, string>();
    /** The ids of each node: one, or one per entry of `from`. */
    const idsOf = new Map<string, string[]>();
    for (const node of cell.nodes) {
      const stage = this.#stageOf(node);
      const inputs = node.from.flatMap((name) => idsOf.get(name) ?? (keys.has(name) ? [name] : []));
      const entries = stage.fansOut && inputs.length > 0 ? inputs.map((id) => [id]) : [inputs];
      const ids: string[] = [];
      for (const entry of entries) {
        const id = stage.fansOut && entry.length > 0 ? `${node.name}.${entry[0]}` : node.name;
        const upstream = entry.map((input) => keys.get(input) as string);
        const identity = await this.#identify(node, stage, upstream, cell);
        const key = identity === null ? null : this.#key(node, identity);
        if (identity === null || key === null) continue;
        const draft = this.#drafts.get(key) ?? { key, id, identity, cells: new Set() };
        draft.cells.add(cell.index);
        this.#drafts.set(key, draft);
        keys.set(id, key);
        ids.push(id);
      }
      idsOf.set(node.name, ids);
    }
    return { cell, keys };
  }

  async decide(): Promise<PlannedStage[]> {
    const nodeOfKey = (key: string) => this.#drafts.get(key)?.id ?? key.slice(0, 8);
    const planned: PlannedStage[] = [];
    for (const { key, id, identity, cells } of this.#drafts.values()) {
      planned.push({
        key,
        id,
        identity,
        cells: [...cells],
        decision: await this.#decision(key, id, identity, nodeOfKey),
      });
    }
    return planned;
  }

  throwProblems(): void {
    if (this.#problems.size > 0) throw new ConfigurationError([...this.#problems.values()]);
  }

  async #decision(
    key: string,
    id: string,
    identity: StageIdentity,
    nodeOfKey: (key: string) => string,
  ): Promise<Decision> {
    const { store } = this.#context;
    const found = await store.inspect(key);
    if (found.state === "complete") {
      const { created } = found.manifest;
      return { action: "cached", created, bytes: sizeOfResult(found.manifest) };
    }
    const checkpoint = await store.checkpoint(key);
    if (checkpoint !== null) {
      const reason = checkpoint.step === null
        ? "checkpoint of an interrupted run"
        : `checkpoint at step ${checkpoint.step}`;
      return { action: "resumes", reason };
    }
    if (found.state === "damaged") {
      return { action: "runs", reason: `the stored result is damaged: ${found.problem}` };
    }
    const earlier = store.index.resultsOf(identity.stage, id)
      .filter((manifest) => !this.#drafts.has(manifest.key));
    return { action: "runs", reason: explainRun(identity, earlier, nodeOfKey) };
  }

  #key(node: GraphNode, identity: StageIdentity): string | null {
    try {
      return keyOf(identity);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      this.#report(node.name, `"${node.name}" has a parameter without a key: ${error.message}`);
      return null;
    }
  }

  /** Null if there are mistakes, which are recorded. */
  async #identify(
    node: GraphNode,
    stage: Stage,
    upstream: readonly string[],
    cell: Cell,
  ): Promise<StageIdentity | null> {
    const sources: Record<string, SourceDigest> = {};
    for (const { reference, path } of stage.sources(node.parameters)) {
      try {
        sources[path] = await this.#digest(reference);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        this.#report(`${node.name}.${path}`, error.message);
      }
    }
    // Keys no longer matter once there is a mistake: only further mistakes are looked for.
    if (this.#problems.size > 0) return null;
    const { seed, device } = stage.dependsOn(node.parameters);
    return {
      stage: stage.name,
      version: stage.version,
      parameters: node.parameters,
      ...(stage.incidental === undefined ? {} : { incidental: stage.incidental }),
      sources,
      upstream,
      seed: seed ? cell.seed : null,
      device: device ? await this.#deviceClass() : null,
    };
  }

  async #deviceClass(): Promise<string> {
    this.device ??= await this.#context.device();
    return this.device.class;
  }

  async #check(reference: string): Promise<void> {
    if (isHubReference(reference)) await this.#pins.check(reference);
    else await resolveSource(reference, this.#experiment.folder);
  }

  #digest(reference: string): Promise<SourceDigest> {
    const digest = this.#sources.get(reference) ?? this.#digestNew(reference);
    this.#sources.set(reference, digest);
    return digest;
  }

  async #digestNew(reference: string): Promise<SourceDigest> {
    const { folder } = this.#experiment;
    const pinned = await this.#pins.pin(reference);
    const sha256 = await digestSource(pinned ?? reference, folder, this.#context.store.index);
    return { reference, sha256, ...(pinned === null ? {} : { pinned }) };
  }

  #report(path: string, message: string): void {
    const position = this.#experiment.position(path);
    this.#problems.set(JSON.stringify([position, message]), { position, message });
  }

  #stageOf(node: GraphNode): Stage {
    const stage = this.#stages.get(node.stage);
    if (stage !== undefined) return stage;
    throw new UserError(
      `Node "${node.name}" asks for the stage "${node.stage}", which is not registered: known stages are ${
        [...this.#stages.keys()].join(", ")
      }`,
    );
  }
}

/** References to one repository are looked up in turn: the first learns what the others need. */
function repositoryOf(reference: string): string {
  return /^hf:(?:datasets\/)?[^/@]+\/[^/@]+/.exec(reference)?.[0] ?? "";
}
