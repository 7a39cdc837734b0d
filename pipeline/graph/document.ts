/**
 * YAML text to located values. YAML is data here: tags of one's own are refused, nothing is executed,
 * and aliases cannot grow without bound.
 *
 * @module
 */

import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  type YAMLMap,
} from "yaml";
import type { Located, LocatedEntry } from "./located.ts";
import type { Origin } from "./origin.ts";
import type { ProblemList } from "./problems.ts";

/** Where a YAML text comes from: a file, or an option of the command line. */
export type YamlSource =
  | { readonly file: string; readonly folder: string }
  | { readonly option: string; readonly folder: string };

/** The tags that only say what the text says anyway. */
const PLAIN_TAGS = new Set(
  ["str", "int", "float", "bool", "null", "map", "seq"].map((name) => `tag:yaml.org,2002:${name}`),
);

/** Aliases may repeat a value, but not blow a small file up ("billion laughs"). */
const MAXIMUM_NODES = 100_000;

/**
 * Parses a YAML 1.2 document (with `<<` merge keys). Mistakes go to `problems`.
 *
 * @returns The value, or null if the text is not YAML.
 */
export function parseYaml(text: string, source: YamlSource, problems: ProblemList): Located | null {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    merge: true,
    prettyErrors: false,
    uniqueKeys: false, // reported by the converter, which knows the first of the two
    logLevel: "error",
  });
  const converter = new Converter(document, source, lines, problems);
  const [error] = document.errors;
  if (error !== undefined) {
    // What follows the first error is read wrongly, so that further ones mean nothing.
    const [offset] = error.pos;
    problems.add(converter.originAt(offset), explain(error.code, error.message, text, offset));
    return null;
  }
  return converter.convert(document.contents, 0);
}

function explain(code: string, message: string, text: string, offset: number): string {
  if (text.slice(offset - 1, offset + 1) === "${") {
    return 'Between braces or brackets, text with "${" must stand in quotes: "${name}"';
  }
  if (code === "MULTIPLE_DOCS") {
    return 'The file holds more than one YAML document: remove the line "---" and what follows';
  }
  if (code === "TAB_AS_INDENT") return "YAML cannot be indented with tabs: use spaces";
  return `This is not valid YAML: ${message}`;
}

class Converter {
  readonly #document: Document;
  readonly #source: YamlSource;
  readonly #lines: LineCounter;
  readonly #problems: ProblemList;
  readonly #open = new Set<Node>();
  #nodes = 0;

  constructor(
    document: Document,
    source: YamlSource,
    lines: LineCounter,
    problems: ProblemList,
  ) {
    this.#document = document;
    this.#source = source;
    this.#lines = lines;
    this.#problems = problems;
  }

  originAt(offset: number): Origin {
    const source = this.#source;
    if ("option" in source) {
      return { position: null, folder: source.folder, option: source.option };
    }
    const { line, col } = this.#lines.linePos(offset);
    // An empty text has no line for the counter to find.
    const position = { file: source.file, line: Math.max(line, 1), column: Math.max(col, 1) };
    return { position, folder: source.folder };
  }

  /** @param offset Where the value would stand if it is left out. */
  convert(node: Node | null, offset: number): Located {
    const origin = this.originAt(node?.range?.[0] ?? offset);
    if (node === null) return { kind: "scalar", value: null, origin };
    if (++this.#nodes > MAXIMUM_NODES) {
      if (this.#nodes === MAXIMUM_NODES + 1) {
        this.#problems.add(
          origin,
          `The file has more than ${MAXIMUM_NODES} values, aliases included`,
        );
      }
      return { kind: "scalar", value: null, origin, unresolved: true };
    }
    if (!isAlias(node) && node.tag !== undefined && !PLAIN_TAGS.has(node.tag)) {
      this.#problems.add(
        origin,
        `The tag ${JSON.stringify(shortTag(node.tag))} is not allowed: an experiment is plain data`,
      );
      return { kind: "scalar", value: null, origin, unresolved: true };
    }
    this.#open.add(node);
    try {
      if (isAlias(node)) {
        const target = node.resolve(this.#document);
        if (target !== undefined && !this.#open.has(target)) return this.convert(target, offset);
        this.#problems.add(
          origin,
          `The alias "*${node.source}" ` +
            (target === undefined
              ? `has no anchor "&${node.source}" before it`
              : "stands inside the value that it repeats"),
        );
        return { kind: "scalar", value: null, origin, unresolved: true };
      }
      if (isMap(node)) return { kind: "map", entries: this.#entries(node), origin };
      if (isSeq(node)) {
        const items = node.items.map((item) => this.convert(item as Node | null, offset));
        return { kind: "list", items, origin };
      }
      const value = isScalar(node) ? node.value : undefined;
      if (value === null || ["string", "number", "boolean"].includes(typeof value)) {
        return { kind: "scalar", value: value as string | number | boolean | null, origin };
      }
      this.#problems.add(origin, `This value is not text, a number, true, false or null`);
      return { kind: "scalar", value: null, origin, unresolved: true };
    } finally {
      this.#open.delete(node);
    }
  }

  #entries(map: YAMLMap): Map<string, LocatedEntry> {
    const own = new Map<string, LocatedEntry>();
    const merged = new Map<string, LocatedEntry>();
    for (const pair of map.items) {
      const key = pair.key as Node;
      const offset = key.range?.[0] ?? 0;
      const origin = this.originAt(offset);
      const value = this.convert(pair.value as Node | null, offset);
      if (!isScalar(key)) {
        this.#problems.add(origin, "A key must be plain text: found a list, a map or an alias");
      } else if (typeof key.value === "symbol") {
        this.#merge(merged, value);
      } else {
        const name = typeof key.value === "string" ? key.value : key.source ?? String(key.value);
        const first = own.get(name)?.key.position;
        if (own.has(name)) {
          const where = first ? ` (first in line ${first.line})` : "";
          this.#problems.add(origin, `The key ${JSON.stringify(name)} is given twice${where}`);
        }
        own.set(name, { key: origin, value });
      }
    }
    // Keys of the map itself win over merged ones, and stand in the order written.
    return new Map([...merged, ...own]);
  }

  /** The value of `<<`: a map, or a list of maps of which the first wins. */
  #merge(merged: Map<string, LocatedEntry>, value: Located): void {
    for (const map of value.kind === "list" ? value.items : [value]) {
      if (map.kind !== "map") {
        this.#problems.add(map.origin, 'The value of "<<" must be a map or a list of maps');
        continue;
      }
      for (const [key, entry] of map.entries) if (!merged.has(key)) merged.set(key, entry);
    }
  }
}

function shortTag(tag: string): string {
  return tag.replace(/^tag:yaml\.org,2002:/, "!!");
}
