/**
 * A stage outside of an executor, for tests: plain folders and the reference device.
 *
 * @module
 */

import { ReferenceDevice } from "../../../kernels/reference/device.ts";
import type { Artifact, FinishedStage, Stage, StageOutcome } from "../../graph/stage.ts";

/** Artifacts by key, in folders below one temporary folder. */
export class Workbench {
  /** What stages have logged. */
  readonly log: string[] = [];
  readonly #folder: string;
  readonly #artifacts = new Map<string, Artifact>();
  readonly #upstream = new Map<string, readonly FinishedStage[]>();

  /** Works in an existing folder. */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The result with this key. */
  artifact(key: string): Artifact {
    const artifact = this.#artifacts.get(key);
    if (artifact === undefined) throw new RangeError(`There is no artifact ${key}`);
    return artifact;
  }

  /** Lets a key stand for the result of another. */
  replace(key: string, by: string): void {
    this.#artifacts.set(key, { ...this.artifact(by), key });
  }

  /** Runs a stage; its result has the key `key`, which is also the name of its node. */
  async run<Parameters>(
    stage: Stage<Parameters>,
    key: string,
    parameters: object,
    from?: string,
  ): Promise<StageOutcome> {
    const folder = `${this.#folder}/${key}`;
    const checkpoint = `${folder}.checkpoint`;
    await Deno.mkdir(folder);
    await Deno.mkdir(checkpoint);
    const parsed = stage.parameters.parse(parameters);
    const outcome = await stage.run({
      parameters: parsed,
      seed: 1,
      input: from === undefined ? null : this.artifact(from),
      upstream: this.#upstream.get(from ?? "") ?? [],
      artifact: (name) => Promise.resolve(this.artifact(name)),
      resolve: ({ reference }) => Promise.resolve([reference]),
      folder,
      checkpoint,
      device: () => Promise.resolve(new ReferenceDevice()),
      report: () => {},
      log: (line) => this.log.push(line),
      remark: (line) => this.log.push(line),
      signal: new AbortController().signal,
    });
    this.#artifacts.set(key, { kind: stage.produces, key, folder, node: key });
    this.#upstream.set(key, [
      { stage: stage.name, parameters: parsed, key, node: key, sources: {} },
      ...this.#upstream.get(from ?? "") ?? [],
    ]);
    return outcome;
  }
}
