/**
 * Equipoise from a script: experiments run as they do from the command line, and their rows come back
 * typed.
 *
 * ```ts ignore
 * import { runExperiment } from "./mod.ts";
 *
 * const { cells } = await runExperiment("quickstart.yaml", { set: ["tuned.steps=20"] });
 * for (const { values, metrics } of cells) {
 *   console.log(values["adapter.form"], metrics["quality.tuned.perplexity"]?.value);
 * }
 * ```
 *
 * @module
 */

export { UserError } from "./pipeline/errors.ts";
export type { TextGenerationOptions, TextPiece } from "./pipeline/evaluation/text_generation.ts";
export type { DeviceName } from "./pipeline/executors/devices.ts";
export type { StageEvent } from "./pipeline/executors/executor.ts";
export {
  planExperiment,
  type PlanOptions,
  readExperiment,
  runExperiment,
  type RunOptions,
} from "./pipeline/experiment.ts";
export { type GenerateOptions, generateText } from "./pipeline/generation.ts";
export {
  type Cell,
  ConfigurationError,
  type Experiment,
  type GraphNode,
  type Position,
  type Problem,
  type TableSpecification,
} from "./pipeline/graph/experiment.ts";
export type {
  CodeVersion,
  DeviceProvenance,
  PeakMemory,
  SourceDigest,
  StageIdentity,
} from "./pipeline/graph/manifest.ts";
export type {
  Decision,
  Plan,
  PlannedCell,
  PlannedDevice,
  PlannedStage,
} from "./pipeline/graph/plan.ts";
export type {
  CellResult,
  Results,
  RunProvenance,
  StageRecord,
  StageRecordResult,
  StageResult,
} from "./pipeline/graph/results.ts";
export type { DownloadListener, HubProgress } from "./pipeline/hub/resolve.ts";
export type { SamplingOptions } from "./pipeline/models/cached_model.ts";
export type { GenerationOptions } from "./pipeline/models/generate.ts";
export type { Metric, Progress } from "./pipeline/graph/stage.ts";
export type { PlannedMemory, PlanWithMemory } from "./pipeline/memory/plan_memory.ts";
export type { MemoryItem, MemoryUse, StageMemory } from "./pipeline/memory/stage_memory.ts";
