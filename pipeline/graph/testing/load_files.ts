/**
 * Helpers of the tests that load whole experiment files.
 *
 * @module
 */

import { join } from "node:path";
import { type Cell, ConfigurationError, type Experiment } from "../experiment.ts";
import { loadExperiment } from "../load.ts";
import { FAKE_STAGES } from "./experiment_files.ts";

const ENVIRONMENT = new Map([["DATA", "/data"]]);
/** What the experiments of the tests are read with. */
export const OPTIONS = {
  stages: FAKE_STAGES,
  environment: (name: string) => ENVIRONMENT.get(name),
};

/** Loads "own.yaml" from a fresh folder that holds these files. */
export async function load(
  files: Record<string, string>,
  set: readonly string[] = [],
): Promise<{ readonly experiment: Experiment; readonly folder: string }> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [path, text] of Object.entries(files)) {
      await Deno.mkdir(join(folder, path, ".."), { recursive: true });
      await Deno.writeTextFile(join(folder, path), text);
    }
    const experiment = await loadExperiment(join(folder, "own.yaml"), { ...OPTIONS, set });
    return { experiment, folder };
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    throw new ConfigurationError(error.problems.map(({ position, message }) => ({
      position: position && { ...position, file: position.file.replace(`${folder}/`, "") },
      message,
    })));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The mistakes of "own.yaml", one line each. */
export async function mistakes(
  files: Record<string, string> | string,
  set: readonly string[] = [],
): Promise<string[]> {
  try {
    await load(typeof files === "string" ? { "own.yaml": files } : files, set);
  } catch (error) {
    if (error instanceof ConfigurationError) return error.message.split("\n");
    throw error;
  }
  return [];
}

/** The parameters of a node in one cell. */
export function parametersOf(cell: Cell | undefined, name: string): Record<string, unknown> {
  return cell?.nodes.find((node) => node.name === name)?.parameters as Record<string, unknown>;
}
