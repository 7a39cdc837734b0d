/**
 * Reading the YAML of tasks: YAML 1.1 as PyYAML reads it, `include`, and `!function` as a name that is
 * looked up and never executed.
 *
 * @module
 */

import { dirname, isAbsolute, join, resolve } from "node:path";
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";
import { UserError } from "../../errors.ts";
import { readTextOrNull } from "../../formats/files.ts";

/** `!function utils.process_docs`, as plain data. */
export interface FunctionReference {
  /** What the file says: module and name. */
  readonly function: string;
  /** File and line. */
  readonly place: string;
}

/** A file of one task or group, with everything that it includes. */
export interface TaskYaml {
  readonly path: string;
  readonly value: Readonly<Record<string, unknown>>;
  /** "FILE:LINE" of a part of the value, or of the nearest part around it. */
  place(steps: readonly PropertyKey[]): string;
  /** All files that were read, this one first. */
  readonly files: readonly string[];
}

const FUNCTION_TAG = "!function";

/** Tags that only say what the text says anyway. */
const PLAIN_TAGS = /^(!|tag:yaml\.org,2002:(str|int|float|bool|null|map|seq|merge))$/;

/**
 * @param path Absolute, or relative to the working folder.
 * @throws {UserError} If the file is not there, is no YAML map, includes itself, or has another tag.
 */
export function readTaskYaml(path: string): TaskYaml {
  return read(resolve(path), []);
}

function read(path: string, parents: readonly string[]): TaskYaml {
  if (parents.includes(path)) {
    throw new UserError(`${path} includes itself, through ${parents.join(", ")}`);
  }
  const own = parse(path);
  const { include, ...local } = own.value;
  if (include === undefined) return own;
  const names = [include].flat();
  const included = names.map((name, index) => {
    const place = own.place(["include", ...(Array.isArray(include) ? [index] : [])]);
    if (typeof name !== "string") throw new UserError(`${place}: include must be a file`);
    const target = isAbsolute(name) ? name : join(dirname(path), name);
    if (readTextOrNull(target) === null) {
      throw new UserError(`${place}: there is no file ${JSON.stringify(name)} (${target})`);
    }
    return read(target, [...parents, path]);
  });
  const base = Object.assign({}, ...included.map(({ value }) => value));
  delete base.task_list; // the tasks of the other file
  return {
    path,
    value: { ...base, ...local },
    place(steps) {
      const [key] = steps;
      if (key === undefined || Object.hasOwn(local, key)) return own.place(steps);
      return (included.findLast(({ value }) => Object.hasOwn(value, key)) ?? own).place(steps);
    },
    files: [path, ...included.flatMap(({ files }) => files)],
  };
}

function parse(path: string): TaskYaml {
  const text = readTextOrNull(path);
  if (text === null) throw new UserError(`There is no task file ${path}`);
  const lines = new LineCounter();
  const document = parseDocument(text, {
    version: "1.1",
    merge: true,
    // PyYAML takes the last of several equal keys.
    uniqueKeys: false,
    lineCounter: lines,
    prettyErrors: false,
    logLevel: "error",
    customTags: [{ tag: FUNCTION_TAG, resolve: (name: string) => name }],
  });
  const placeOf = (offset: number) => `${path}:${Math.max(lines.linePos(offset).line, 1)}`;
  const [error] = document.errors;
  if (error !== undefined) {
    throw new UserError(`${placeOf(error.pos[0])}: this is not valid YAML: ${error.message}`);
  }
  const root = document.contents;
  if (!isMap(root)) throw new UserError(`${path}: a task file must be a map with "task:"`);

  const plain = (node: Node | null): unknown => {
    if (node === null) return null;
    const place = placeOf(node.range?.[0] ?? 0);
    if (isAlias(node)) {
      const target = node.resolve(document);
      if (target === undefined) throw new UserError(`${place}: the alias has no anchor`);
      return plain(target);
    }
    if (node.tag === FUNCTION_TAG) {
      return { function: String((node as { value?: unknown }).value), place };
    }
    if (node.tag !== undefined && !PLAIN_TAGS.test(node.tag)) {
      throw new UserError(`${place}: the tag ${node.tag} is not allowed; only ${FUNCTION_TAG} is`);
    }
    if (isSeq(node)) return node.items.map((item) => plain(item as Node));
    if (isScalar(node)) {
      // PyYAML does not take these for true and false.
      const isLetter = node.type === "PLAIN" && /^[yn]$/i.test(node.source ?? "");
      return isLetter ? node.source : node.value;
    }
    if (!isMap(node)) return null;
    const entries: [string, unknown][] = [];
    for (const pair of node.items) {
      const key = plain(pair.key as Node);
      const value = plain(pair.value as Node | null);
      if (key === "<<") {
        const merged = Object.assign({}, ...[value].flat().reverse());
        entries.unshift(...Object.entries(merged));
      } else entries.push([String(key), value]);
    }
    return Object.fromEntries(entries);
  };
  const value = plain(root) as Record<string, unknown>;
  return {
    path,
    value,
    place(steps) {
      let offset = root.range?.[0] ?? 0;
      for (let depth = 1; depth <= steps.length; depth++) {
        const node = document.getIn(steps.slice(0, depth), true) as Node | undefined;
        if (node?.range === undefined || node.range === null) break;
        offset = node.range[0];
      }
      const [last] = steps;
      // A key without a value, or the value of a key on the next line: the key is what is meant.
      const pair = root.items.find(({ key }) => isScalar(key) && key.value === last);
      const key = pair?.key as Node | undefined;
      return placeOf(steps.length === 1 ? key?.range?.[0] ?? offset : offset);
    },
    files: [path],
  };
}
