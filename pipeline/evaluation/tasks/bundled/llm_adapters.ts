/**
 * The sets of LLM-Adapters: arithmetic and commonsense.
 *
 * @module
 */

import { taskFrom } from "../load_task.ts";
import type { Group, Task } from "../task_node.ts";
import { readTaskYaml, type TaskYaml } from "../task_yaml.ts";
import { groupOf } from "./group.ts";

/** Folders of the arithmetic sets, by the names of our tasks. */
const ARITHMETIC: Readonly<Record<string, string>> = {
  arithmetic_gsm8k: "gsm8k",
  svamp: "SVAMP",
  mawps: "mawps",
  aqua: "AQuA",
};

/** Sets that pyreft adds to the four. */
const MORE_ARITHMETIC: Readonly<Record<string, string>> = {
  addsub: "AddSub",
  multiarith: "MultiArith",
  singleeq: "SingleEq",
};

/** Folders of the commonsense sets, and the answers that are looked for in a reply. */
const COMMONSENSE: Readonly<Record<string, readonly [folder: string, answers: string]>> = {
  boolq: ["boolq", "true|false"],
  piqa: ["piqa", "solution1|solution2"],
  siqa: ["social_i_qa", "answer1|answer2|answer3|answer4|answer5"],
  hellaswag: ["hellaswag", "ending1|ending2|ending3|ending4"],
  winogrande: ["winogrande", "option1|option2"],
  arc_easy: ["ARC-Easy", "answer1|answer2|answer3|answer4|answer5"],
  arc_challenge: ["ARC-Challenge", "answer1|answer2|answer3|answer4|answer5"],
  openbookqa: ["openbookqa", "answer1|answer2|answer3|answer4|answer5"],
};

const OPTIONS = { metric: "exact_match", version: 1 };

/** GSM8K, SVAMP, MAWPS and AQuA, whose unweighted mean papers state. */
export function arithmetic(folder: string): Group {
  return groupOf("arithmetic", sets(`${folder}/arithmetic_set.yaml`, ARITHMETIC), OPTIONS);
}

/** AddSub, MultiArith and SingleEq. */
export function moreArithmetic(folder: string): Group {
  return groupOf(
    "arithmetic_more",
    sets(`${folder}/arithmetic_set.yaml`, MORE_ARITHMETIC),
    OPTIONS,
  );
}

/** The eight commonsense sets by the protocol of pyreft. */
export function commonsense(folder: string): Group {
  const yaml = readTaskYaml(`${folder}/commonsense_set.yaml`);
  const children = Object.entries(COMMONSENSE)
    .map(([name, [set]]) => setOf(yaml, `commonsense_${name}`, set, {}));
  return groupOf("commonsense", children, OPTIONS);
}

/** The same sets by the protocol of LLM-Adapters. */
export function commonsenseLlmAdapters(folder: string): Group {
  const yaml = readTaskYaml(`${folder}/commonsense_llm_adapters_set.yaml`);
  const children = Object.entries(COMMONSENSE).map(([name, [set, answers]]) =>
    setOf(yaml, `commonsense_llm_adapters_${name}`, set, {
      filter_list: [{
        name: "none",
        filter: [
          { function: "regex", regex_pattern: answers, fallback: "" },
          { function: "take_first" },
        ],
      }],
    })
  );
  return groupOf("commonsense_llm_adapters", children, OPTIONS);
}

function sets(path: string, folders: Readonly<Record<string, string>>): Task[] {
  const yaml = readTaskYaml(path);
  return Object.entries(folders).map(([name, set]) => setOf(yaml, name, set, {}));
}

function setOf(
  yaml: TaskYaml,
  name: string,
  set: string,
  overrides: Readonly<Record<string, unknown>>,
): Task {
  const task = taskFrom(yaml, { task: name, dataset_name: set, ...overrides });
  return { ...task, subset: set };
}
