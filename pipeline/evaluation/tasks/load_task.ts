/**
 * From a name or a file to a task or a group of tasks.
 *
 * @module
 */

import { basename, dirname, extname, join } from "node:path";
import type { z } from "zod";
import { UserError } from "../../errors.ts";
import { jsonSchemaOf } from "../../graph/schema_paths.ts";
import { didYouMean } from "../../graph/suggestions.ts";
import { explainIssues } from "../../graph/validation_messages.ts";
import { checkTask } from "./check_task.ts";
import { type Group, isFunction, type Task, type TaskNode, versionOf } from "./task_node.ts";
import { groupSchema, type TaskConfig, taskSchema, UNSUPPORTED_KEYS } from "./task_schema.ts";
import { readTaskYaml, type TaskYaml } from "./task_yaml.ts";

/** Finds a task by its name, among those that are not files beside the group; null if there is none. */
export type FindTask = (name: string) => TaskNode | null;

/** Keys that only a group has. */
const GROUP_KEYS = new Set(Object.keys(groupSchema.shape));

type Overrides = Readonly<Record<string, unknown>>;

/**
 * Reads the YAML of a task or a group.
 *
 * @param find Where names in a group are looked up that no file beside it has.
 * @throws {UserError} With all mistakes of the file that are found, each with file and line.
 */
export function loadTaskFile(path: string, find: FindTask): TaskNode {
  const yaml = readTaskYaml(path);
  return "group" in yaml.value && Array.isArray(yaml.value.task)
    ? new GroupLoader(find).load(yaml, {})
    : taskFrom(yaml, {});
}

/** Makes a task of a file and what a group or a program sets in it. */
export function taskFrom(yaml: TaskYaml, overrides: Overrides): Task {
  const { tag: _tag, group: _group, task_list: _list, ...written } = {
    ...yaml.value,
    ...overrides,
  };
  for (const [key, reason] of Object.entries(UNSUPPORTED_KEYS)) {
    if (written[key] !== undefined && written[key] !== null) {
      throw new UserError(`${yaml.place([key])}: the key "${key}" is not supported: ${reason}`);
    }
  }
  for (const key of ["metric_list", "filter_list"]) refuseFunctions(written[key]);
  const config: TaskConfig = parse(taskSchema, written, yaml);
  const dataset = config.dataset_path?.split("/").at(-1);
  const task: Task = {
    kind: "task",
    name: config.task,
    config,
    owners: [
      basename(dirname(yaml.path)),
      config.task,
      ...(dataset === undefined ? [] : [dataset]),
    ],
    subset: null,
    place: yaml.place,
    files: yaml.files,
  };
  checkTask(task);
  return task;
}

/** Metrics and filters that are Python have no counterparts: what they compute has names here. */
function refuseFunctions(value: unknown): void {
  if (isFunction(value)) {
    throw new UserError(
      `${value.place}: !function ${value.function} is Python, which is not run here; use a metric, ` +
        "an aggregation or a filter that has a name",
    );
  }
  if (typeof value !== "object" || value === null) return;
  Object.values(value).forEach(refuseFunctions);
}

function parse<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  yaml: TaskYaml,
): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const mistakes = explainIssues(parsed.error.issues, {
    value,
    schema: jsonSchemaOf(schema),
    label: "",
  });
  throw new UserError(
    mistakes.map(({ path, message }) => `${yaml.place(steps(path))}: ${message}`).join("\n"),
  );
}

/** Positions in lists are numbers for the YAML document. */
function steps(path: readonly string[]): PropertyKey[] {
  return path.map((step) => /^\d+$/.test(step) ? Number(step) : step);
}

class GroupLoader {
  readonly #find: FindTask;
  #files: ReadonlyMap<string, readonly TaskYaml[]> | null = null;
  readonly #open = new Set<string>();

  constructor(find: FindTask) {
    this.#find = find;
  }

  load(yaml: TaskYaml, overrides: Overrides): Group {
    const { place } = yaml;
    const config = parse(groupSchema, yaml.value, yaml);
    if (this.#open.has(config.group)) {
      throw new UserError(`${place(["task"])}: the group ${config.group} contains itself`);
    }
    this.#open.add(config.group);
    const own = Object.fromEntries(
      Object.entries(yaml.value).filter(([key]) => !GROUP_KEYS.has(key)),
    );
    const merged = { ...own, ...overrides };
    const children = config.task.flatMap((item, index) =>
      this.#children(item, yaml, place(["task", index]), merged)
    );
    this.#open.delete(config.group);
    return {
      kind: "group",
      name: config.group,
      alias: config.group_alias ?? null,
      children: withSubsets(children),
      views: [],
      aggregates: [config.aggregate_metric_list ?? []].flat(),
      version: versionOf(config.metadata),
      files: [...new Set([...yaml.files, ...children.flatMap(({ files }) => files)])],
    };
  }

  #children(
    item: string | Overrides,
    yaml: TaskYaml,
    place: string,
    overrides: Overrides,
  ): TaskNode[] {
    if (typeof item === "string") return this.#named(item, yaml, place, overrides);
    if (typeof item.group === "string" && Array.isArray(item.task)) {
      return [this.load({ ...yaml, value: item }, overrides)];
    }
    const { task: name, group, ...own } = item;
    const target = group ?? name;
    if (typeof target !== "string") {
      throw new UserError(`${place}: an entry of a group must name a "task" or a "group"`);
    }
    const merged = { ...overrides, ...own };
    const isKnown = this.#index(yaml).has(target) || this.#find(target) !== null;
    if (!isKnown && "doc_to_text" in merged) {
      return [taskFrom({ ...yaml, value: { ...merged, task: target } }, {})];
    }
    return this.#named(target, yaml, place, merged);
  }

  #named(name: string, yaml: TaskYaml, place: string, overrides: Overrides): TaskNode[] {
    const index = this.#index(yaml);
    const found = index.get(name);
    if (found !== undefined) {
      return found.map((file) =>
        Array.isArray(file.value.task) ? this.load(file, overrides) : taskFrom(file, overrides)
      );
    }
    const bundled = this.#find(name);
    if (bundled !== null && Object.keys(overrides).length === 0) return [bundled];
    if (bundled !== null) {
      throw new UserError(
        `${place}: the task ${name} comes with Equipoise; a group can only change keys of tasks in ` +
          "its own folder",
      );
    }
    throw new UserError(
      `${place}: there is no task, group or tag "${name}" in the folder of ${yaml.path}` +
        didYouMean(name, index.keys()),
    );
  }

  /** Files under the folder of the group, by the names of their tasks, groups and tags. */
  #index(yaml: TaskYaml): ReadonlyMap<string, readonly TaskYaml[]> {
    if (this.#files !== null) return this.#files;
    const named = new Map<string, TaskYaml[]>();
    const tagged = new Map<string, TaskYaml[]>();
    for (const path of yamlFiles(dirname(yaml.path))) {
      const file = readTaskYaml(path);
      const { value } = file;
      const name = typeof value.group === "string" && Array.isArray(value.task)
        ? value.group
        : value.task;
      if (typeof name !== "string") continue;
      named.set(name, [file]);
      for (const tag of [value.tag ?? []].flat()) {
        tagged.set(String(tag), [...tagged.get(String(tag)) ?? [], file]);
      }
    }
    for (const [tag, files] of tagged) {
      if (named.has(tag)) continue;
      named.set(
        tag,
        files.toSorted((a, b) => String(a.value.task) < String(b.value.task) ? -1 : 1),
      );
    }
    this.#files = named;
    return named;
  }
}

/** Sorted, so that a result does not depend on the order of a folder. */
function yamlFiles(folder: string): string[] {
  const entries = [...Deno.readDirSync(folder)].sort((a, b) => a.name < b.name ? -1 : 1);
  return entries.flatMap(({ name, isDirectory }) => {
    const path = join(folder, name);
    if (isDirectory) return yamlFiles(path);
    return extname(name) === ".yaml" || extname(name) === ".yml" ? [path] : [];
  });
}

/** Tasks of one data set that differ by its part read that part of common files. */
function withSubsets(children: readonly TaskNode[]): readonly TaskNode[] {
  const names = new Set(
    children.flatMap((child) => child.kind === "task" ? [child.config.dataset_name] : []),
  );
  if (names.size < 2) return children;
  return children.map((child) =>
    child.kind === "task" ? { ...child, subset: child.config.dataset_name ?? null } : child
  );
}
