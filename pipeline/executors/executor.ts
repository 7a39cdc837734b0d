/**
 * The seam between a plan and the place where it runs: four methods.
 *
 * The scheduler submits a stage when everything it reads is in the store; the executor runs it there
 * or elsewhere, puts the result into the same store, and says so through {@linkcode Executor.poll}.
 *
 * @module
 */

import type { CodeVersion, StageIdentity } from "../graph/manifest.ts";
import type { FinishedStage, Progress } from "../graph/stage.ts";

/** A stage to run; plain JSON, because it travels to other processes. */
export interface StageTask {
  /** Where its result goes. */
  readonly key: string;
  /** Graph node, with the entry of `from` where it fans out ("quality.tuned"). */
  readonly id: string;
  /** What is to run. */
  readonly identity: StageIdentity;
  /** The chain of `from`, nearest first. */
  readonly upstream: readonly FinishedStage[];
  /** Folder that relative references of sources start from. */
  readonly folder: string;
  /** For the provenance of the result. */
  readonly experiment: string;
  /** For the provenance of the result. */
  readonly equipoise: CodeVersion;
}

/** What happened to a submitted stage. The last four end it. */
export type StageEvent =
  | { readonly kind: "started"; readonly key: string }
  | { readonly kind: "progress"; readonly key: string; readonly progress: Progress }
  | { readonly kind: "log" | "remark"; readonly key: string; readonly line: string }
  /** Its result is in the store. */
  | { readonly kind: "done"; readonly key: string }
  | {
    readonly kind: "failed";
    readonly key: string;
    /** One sentence. */
    readonly message: string;
    /** Stack trace, for the log; null if the mistake is the user's. */
    readonly trace: string | null;
  }
  | { readonly kind: "cancelled"; readonly key: string };

/** What an executor is and can do. */
export interface ExecutorDescription {
  /** The value of `--executor`. */
  readonly name: string;
  /** Stages that run at the same time. */
  readonly slots: number;
}

/** Runs stages. Disposing it ends whatever it started. */
export interface Executor extends AsyncDisposable {
  /** Queues a stage whose inputs are in the store. */
  submit(task: StageTask): Promise<void>;
  /** Waits for news of the submitted stages: at least one event. */
  poll(): Promise<readonly StageEvent[]>;
  /**
   * Ends all submitted stages: gently (they save a checkpoint at the next step) or, with `force`, at
   * once. Each still ends with an event.
   */
  cancel(force: boolean): Promise<void>;
  /** What this executor is. */
  describe(): ExecutorDescription;
}
