/**
 * Values that remember where they were written, so that a mistake can be shown at its file, line and
 * column however often the value was inherited, overridden or placed by a grid since.
 *
 * @module
 */

import type { Origin } from "./origin.ts";
import type { ProblemList } from "./problems.ts";

/** What YAML calls a scalar. */
export type Scalar = string | number | boolean | null;

/** A scalar and where it was written. */
export interface LocatedScalar {
  /** Tells it from a list or a map. */
  readonly kind: "scalar";
  /** The value itself. */
  readonly value: Scalar;
  /** Where it was written. */
  readonly origin: Origin;
  /** Names of the environment variables in it. */
  readonly environment?: readonly string[];
  /** It holds a `${name}` that is undefined, which is reported already. */
  readonly unresolved?: boolean;
}

/** A list and where it was written. */
export interface LocatedList {
  /** Tells it from a scalar or a map. */
  readonly kind: "list";
  /** Its entries in order. */
  readonly items: readonly Located[];
  /** Where it begins. */
  readonly origin: Origin;
}

/** A map and where it was written. */
export interface LocatedMap {
  /** Tells it from a scalar or a list. */
  readonly kind: "map";
  /** Its values by key, in the order written. */
  readonly entries: ReadonlyMap<string, LocatedEntry>;
  /** Where it begins. */
  readonly origin: Origin;
}

/** One key of a map with its value. */
export interface LocatedEntry {
  /** Where the key was written. */
  readonly key: Origin;
  /** What stands at the key. */
  readonly value: Located;
}

/** A value with the origin of each of its parts; immutable. */
export type Located = LocatedScalar | LocatedList | LocatedMap;

/** Steps from a value to one of its parts: keys of maps, indices of lists ("0"). */
export type Path = readonly string[];

/** The plain value, as `JSON.parse` would give it. */
export function toPlain(located: Located): unknown {
  switch (located.kind) {
    case "scalar":
      return located.value;
    case "list":
      return located.items.map(toPlain);
    case "map":
      // fromEntries defines properties, so that a key "__proto__" stays an ordinary key.
      return Object.fromEntries(
        [...located.entries].map(([key, { value }]) => [key, toPlain(value)]),
      );
  }
}

/**
 * Gives every part of a plain value the same origin. Properties that are undefined are left out;
 * anything that a YAML file could not say is reported.
 *
 * @param path Where the value stands, for messages; empty for the whole experiment.
 */
export function fromPlain(
  value: unknown,
  origin: Origin,
  path: Path,
  problems: ProblemList,
  ancestors: ReadonlySet<unknown> = new Set(),
): Located {
  if (
    value === null || typeof value === "string" || typeof value === "number" ||
    typeof value === "boolean"
  ) return { kind: "scalar", value, origin };
  const inside = new Set([...ancestors, value]);
  if (!ancestors.has(value)) {
    if (Array.isArray(value)) {
      const items = value.map((item, index) =>
        fromPlain(item, origin, [...path, String(index)], problems, inside)
      );
      return { kind: "list", items, origin };
    }
    if (isPlainObject(value)) {
      const entries = Object.entries(value).filter(([, part]) => part !== undefined).map((
        [key, part],
      ) =>
        [
          key,
          { key: origin, value: fromPlain(part, origin, [...path, key], problems, inside) },
        ] as const
      );
      return { kind: "map", entries: new Map(entries), origin };
    }
  }
  problems.add(
    origin,
    `${
      path.join(".") || "The experiment"
    } must be text, a number, true, false, null, a list or a ` +
      `map: found ${ancestors.has(value) ? "an object that contains itself" : describe(value)}`,
  );
  return { kind: "scalar", value: null, origin, unresolved: true };
}

function isPlainObject(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function describe(value: unknown): string {
  return typeof value === "object" && value !== null
    ? `an object of class ${value.constructor.name}`
    : `a value of type ${typeof value}`;
}

/** One step down, or null if there is no such part. */
export function child(located: Located, key: string): Located | null {
  if (located.kind === "map") return located.entries.get(key)?.value ?? null;
  if (located.kind === "list" && /^\d+$/.test(key)) return located.items[Number(key)] ?? null;
  return null;
}

/** The part at a path, or null if there is none. */
export function lookup(root: Located, path: Path): Located | null {
  let located: Located | null = root;
  for (const key of path) {
    if (located === null) return null;
    located = child(located, key);
  }
  return located;
}

/** The keys of the map at a path, in the order written; none if there is no map. */
export function keysAt(root: Located, path: Path): string[] {
  const located = lookup(root, path);
  return located?.kind === "map" ? [...located.entries.keys()] : [];
}

/**
 * Where the value at a path was written; where there is no such value, the key of the nearest part
 * around it.
 */
export function originOf(root: Located, path: Path): Origin {
  return lookup(root, path)?.origin ?? originOfKey(root, path);
}

/** Where the last key of a path was written, or else the key of the nearest part around it. */
export function originOfKey(root: Located, path: Path): Origin {
  let located: Located | null = root;
  let origin = root.origin;
  for (const key of path) {
    const next: Located | null = child(located, key);
    if (next === null) break;
    origin = located.kind === "map" ? located.entries.get(key)?.key ?? next.origin : next.origin;
    located = next;
  }
  return origin;
}

/** The shortest part of `path` at which `place` could not go on; null if it can. */
export function obstacle(root: Located, path: Path): Path | null {
  let located: Located | null = root;
  for (const [index, key] of path.entries()) {
    if (located.kind === "scalar" && located.value !== null) return path.slice(0, index);
    const next: Located | null = child(located, key);
    if (next === null && located.kind === "list") return path.slice(0, index + 1);
    if (next === null) return null;
    located = next;
  }
  return null;
}

/**
 * A copy of `root` with `value` at `path`; keys that are missing on the way are made.
 *
 * @param key Where the path was written.
 * @throws {RangeError} If `obstacle` finds one.
 */
export function place(root: Located, path: Path, value: Located, key: Origin): Located {
  const [head, ...rest] = path;
  if (head === undefined) return value;
  if (root.kind === "list") {
    const item = child(root, head);
    if (item === null) throw new RangeError(`The list has no entry ${head}`);
    const items = root.items.with(Number(head), place(item, rest, value, key));
    return { ...root, items };
  }
  if (root.kind === "scalar" && root.value !== null) {
    throw new RangeError(`Cannot set "${head}" in a value that is not a map`);
  }
  const entries = new Map(root.kind === "map" ? root.entries : []);
  const inner = entries.get(head)?.value ?? { kind: "map", entries: new Map(), origin: key };
  // The key keeps its own position while something below it changes.
  const keyOrigin = rest.length > 0 ? entries.get(head)?.key ?? key : key;
  entries.set(head, { key: keyOrigin, value: place(inner, rest, value, key) });
  return { kind: "map", entries, origin: root.origin };
}

/** A copy of a map without some of its keys. */
export function without(map: LocatedMap, keys: Iterable<string>): LocatedMap {
  const entries = new Map(map.entries);
  for (const key of keys) entries.delete(key);
  return { ...map, entries };
}

/** `above` laid over `below`: maps are merged key by key, all else is replaced. */
export function merge(below: Located, above: Located): Located {
  if (below.kind !== "map" || above.kind !== "map") return above;
  const entries = new Map(below.entries);
  for (const [key, entry] of above.entries) {
    const inherited = entries.get(key);
    entries.set(
      key,
      inherited ? { key: entry.key, value: merge(inherited.value, entry.value) } : entry,
    );
  }
  return { kind: "map", entries, origin: above.origin };
}

/** Every scalar of a value with its path. */
export function* scalars(
  located: Located,
  path: Path = [],
): Generator<readonly [Path, LocatedScalar]> {
  if (located.kind === "scalar") yield [path, located];
  else if (located.kind === "list") {
    for (const [index, item] of located.items.entries()) {
      yield* scalars(item, [...path, String(index)]);
    }
  } else {
    for (const [key, { value }] of located.entries) yield* scalars(value, [...path, key]);
  }
}
