/**
 * Tasks that come with Equipoise.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { loadTaskFile } from "../load_task.ts";
import { groups, leaves, type TaskNode } from "../task_node.ts";
import { arithmetic, commonsense, commonsenseLlmAdapters, moreArithmetic } from "./llm_adapters.ts";
import { mmlu, mmluQlora } from "./mmlu.ts";

const FOLDER = fileURLToPath(new URL(".", import.meta.url));

/** Tasks with a file of their own. */
const FILES = [
  "arc_challenge",
  "arc_easy",
  "boolq",
  "gsm8k",
  "gsm8k_cot",
  "gsm8k_loftq",
  "hellaswag",
  "openbookqa",
  "piqa",
  "wikitext",
  "winogrande",
] as const;

const GROUPS: Readonly<Record<string, (folder: string) => TaskNode>> = {
  arithmetic,
  arithmetic_more: moreArithmetic,
  commonsense,
  commonsense_llm_adapters: commonsenseLlmAdapters,
  mmlu,
  mmlu_qlora: mmluQlora,
};

const loaded = new Map<string, TaskNode>();

/** Names of tasks and groups, without those of single subjects and categories. */
export const BUNDLED_NAMES: readonly string[] = [
  ...FILES,
  ...Object.keys(GROUPS),
  "aqua",
  "mawps",
  "svamp",
].sort();

/** A task or group by its name, also of a subject or category ("mmlu_stem"); null if there is none. */
export function bundledTask(name: string): TaskNode | null {
  if ((FILES as readonly string[]).includes(name)) {
    return load(name, () => loadTaskFile(`${FOLDER}${name}.yaml`, () => null));
  }
  for (const [key, make] of Object.entries(GROUPS)) {
    if (key === name) return load(key, () => make(FOLDER));
  }
  // The parts of groups are looked for last: making a group is work.
  for (const [key, make] of Object.entries(GROUPS)) {
    const group = load(key, () => make(FOLDER));
    const part = [...groups(group), ...leaves(group)].find((node) => node.name === name);
    if (part !== undefined) return part;
  }
  return null;
}

/** Whether there is a task, group, subject or category of this name. */
export function isBundled(name: string): boolean {
  return BUNDLED_NAMES.includes(name) || bundledTask(name) !== null;
}

function load(key: string, make: () => TaskNode): TaskNode {
  let node = loaded.get(key);
  if (node === undefined) loaded.set(key, node = make());
  return node;
}
