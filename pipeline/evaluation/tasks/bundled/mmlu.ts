/**
 * MMLU as groups of subjects.
 *
 * @module
 */

import { taskFrom } from "../load_task.ts";
import type { Group, Task, TaskNode } from "../task_node.ts";
import { readTaskYaml, type TaskYaml } from "../task_yaml.ts";
import { groupOf } from "./group.ts";
import { type Category, MOVED_SUBJECT, SUBJECTS } from "./mmlu_subjects.ts";

const CATEGORIES = Object.keys(SUBJECTS) as Category[];

/**
 * MMLU of lm-evaluation-harness: four categories, and those of Hendrycks et al. besides
 * (`mmlu_hendrycks_stem`).
 */
export function mmlu(folder: string): Group {
  const yaml = readTaskYaml(`${folder}/mmlu_subject.yaml`);
  return group("mmlu", (subject) =>
    subjectOf(yaml, "mmlu", subject, {
      description: "The following are multiple choice questions (with answers) about " +
        `${subject.replaceAll("_", " ")}.\n\n`,
    }));
}

/** MMLU of QLoRA's callback. */
export function mmluQlora(folder: string): Group {
  const yaml = readTaskYaml(`${folder}/mmlu_qlora_subject.yaml`);
  return group("mmlu_qlora", (subject) => subjectOf(yaml, "mmlu_qlora", subject, {}));
}

function subjectOf(
  yaml: TaskYaml,
  prefix: string,
  subject: string,
  overrides: Readonly<Record<string, unknown>>,
): Task {
  const task = taskFrom(yaml, {
    task: `${prefix}_${subject}`,
    task_alias: subject,
    dataset_name: subject,
    ...overrides,
  });
  return { ...task, subset: subject };
}

function group(name: string, make: (subject: string) => Task): Group {
  const tasks = new Map(
    CATEGORIES.flatMap((category) => SUBJECTS[category]).map((subject) => [subject, make(subject)]),
  );
  const gather = (prefix: string, category: Category, subjects: readonly string[]): Group =>
    groupOf(
      `${prefix}_${category}`,
      subjects.flatMap((subject): TaskNode[] => {
        const task = tasks.get(subject);
        return task === undefined ? [] : [task];
      }),
      { metric: "acc", version: 2, alias: category.replaceAll("_", " ") },
    );
  const categories = CATEGORIES.map((category) => gather(name, category, SUBJECTS[category]));
  const stem = SUBJECTS.stem.filter((subject) => subject !== MOVED_SUBJECT);
  const other = [MOVED_SUBJECT, ...SUBJECTS.other];
  const views = [
    gather(`${name}_hendrycks`, "stem", stem),
    gather(`${name}_hendrycks`, "other", other),
  ];
  return { ...groupOf(name, categories, { metric: "acc", version: 2 }), views };
}
