/**
 * Names of results where an experiment names an entry otherwise than its task, so that a task may be
 * asked twice.
 *
 * @module
 */

import type { Evaluated } from "./evaluate_task.ts";

/** With `from` at the beginning of names, or all of them, replaced by `to`. */
export function renamed(evaluated: Evaluated, from: string, to: string): Evaluated {
  if (from === to) return evaluated;
  const name = (old: string) => {
    if (old === from) return to;
    return old.startsWith(`${from}_`) ? to + old.slice(from.length) : `${to}_${old}`;
  };
  const { record, samples } = evaluated;
  return {
    ...evaluated,
    record: {
      tasks: record.tasks.map((task) => ({ ...task, task: name(task.task) })),
      groups: record.groups.map((group) => ({
        ...group,
        group: name(group.group),
        subtasks: group.subtasks.map(name),
      })),
    },
    samples: new Map([...samples].map(([task, items]) => [name(task), items])),
  };
}
