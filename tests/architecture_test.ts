/**
 * The rules of the house (docs/architecture.md): imports point downwards, nothing goes in a circle,
 * every method is registered, and files stay small.
 *
 * @module
 */

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { findCycle, type Module, readModules } from "../scripts/quality/module_graph.ts";

/**
 * Floors of the house, lowest first; an entry is a folder, a file, or the files right in a folder
 * (`pipeline/*.ts`). A module imports from its own floor and from lower ones. Tests stand outside:
 * they import whatever they test with.
 */
const FLOORS: readonly (readonly string[])[] = [
  ["kernels"],
  ["pipeline/errors.ts"],
  ["pipeline/hub"],
  ["pipeline/data", "pipeline/formats", "pipeline/linalg", "pipeline/models"],
  // What a stage is, and the store it leaves its result in.
  ["pipeline/graph", "pipeline/environment"],
  [
    "pipeline/adapters",
    "pipeline/calibration",
    "pipeline/evaluation",
    "pipeline/initializers",
    "pipeline/memory",
    "pipeline/preprocessors",
    "pipeline/quantizers",
    "pipeline/training",
  ],
  ["pipeline/stages", "pipeline/serving"],
  ["pipeline/executors"],
  ["pipeline/bench", "pipeline/reports"],
  ["pipeline/*.ts"],
  ["mod.ts", "scripts", "experiments", "tests"],
];

const MOST_LINES = 400;

/** Longer files, each with the reason why it is not two. */
const LONG_FILES: ReadonlyMap<string, string> = new Map([
  ["kernels/device.ts", "the contract of a device is read as a whole"],
  ["kernels/shapes.ts", "the shape rules of that contract, one function for each operation"],
]);

const modules = await readModules(fileURLToPath(new URL("..", import.meta.url)));
const sources = modules.filter(({ path }) => !isTest(path));

Deno.test("modules import from their own floor and lower ones", () => {
  const faults = sources.flatMap(({ path, imports }) =>
    imports.filter((target) => floorOf(target) > floorOf(path))
      .map((target) => `${path} imports ${target}, which stands above it`)
  );
  assert.deepEqual(faults, []);
});

Deno.test("every module stands on a floor", () => {
  const homeless = sources.filter(({ path }) => floorOf(path) === FLOORS.length)
    .map(({ path }) => path);
  assert.deepEqual(homeless, []);
});

Deno.test("no module imports itself through others", () => {
  assert.deepEqual(findCycle(new Map(modules.map(({ path, imports }) => [path, imports]))), null);
});

Deno.test("no folder imports itself through others", () => {
  const edges = new Map<string, string[]>();
  for (const { path, imports } of sources) {
    const neighbours = imports.map(roomOf).filter((room) => room !== roomOf(path));
    edges.set(roomOf(path), [...edges.get(roomOf(path)) ?? [], ...neighbours]);
  }
  assert.deepEqual(findCycle(edges), null);
});

Deno.test("the kernels of one device know nothing of another's", () => {
  const implementation = /^kernels\/(reference|webgpu|cpu)\//;
  const faults = sources.flatMap(({ path, imports }) => {
    const own = implementation.exec(path)?.[1];
    return imports.filter((target) => {
      const other = implementation.exec(target)?.[1];
      return own !== undefined && other !== undefined && other !== own;
    }).map((target) => `${path} imports ${target}`);
  });
  assert.deepEqual(faults, []);
});

Deno.test("the graph names no stage", () => {
  const faults = sources.filter(({ path }) => path.startsWith("pipeline/graph/"))
    .flatMap(({ path, imports }) =>
      imports.filter((target) => target.startsWith("pipeline/stages/"))
        .map((target) => `${path} imports ${target}`)
    );
  assert.deepEqual(faults, []);
});

Deno.test("every method is in the registry of its folder", () => {
  const registries = sources.filter(({ path }) => path.endsWith("/registry.ts"));
  assert.notEqual(registries.length, 0);
  assert.deepEqual(registries.flatMap((registry) => unregistered(registry, sources)), []);
});

Deno.test("files are short or have a reason", () => {
  const lines = (text: string) => text.split("\n").length - 1;
  const long = modules.filter(({ path, text }) => lines(text) > MOST_LINES && !LONG_FILES.has(path))
    .map(({ path, text }) => `${path} has ${lines(text)} lines`);
  assert.deepEqual(long, []);
});

/** Methods beside a registry, by the type that it collects, that it does not import. */
function unregistered(registry: Module, all: readonly Module[]): string[] {
  const folder = registry.path.slice(0, registry.path.lastIndexOf("/") + 1);
  const types = [...registry.text.matchAll(/^import type \{([^}]*)\} from "\.\.?\//gm)]
    .flatMap(([, names = ""]) => names.split(",").map((name) => name.trim()));
  assert.notEqual(types.filter(Boolean).length, 0, `${registry.path} imports no type of method`);
  const method = new RegExp(`^export const \\w+: (${types.filter(Boolean).join("|")})\\b`, "m");
  return all.filter(({ path, text }) =>
    path.startsWith(folder) && path !== registry.path && method.test(text) &&
    !registry.imports.includes(path)
  ).map(({ path }) => `${path} is not in ${registry.path}`);
}

function floorOf(path: string): number {
  const floor = FLOORS.findIndex((rooms) => rooms.some((room) => isWithin(path, room)));
  return floor < 0 ? FLOORS.length : floor;
}

function roomOf(path: string): string {
  return FLOORS.flat().find((room) => isWithin(path, room)) ?? path;
}

function isWithin(path: string, room: string): boolean {
  if (room.endsWith("/*.ts")) return path.slice(0, path.lastIndexOf("/")) === room.slice(0, -5);
  return path === room || path.startsWith(`${room}/`);
}

function isTest(path: string): boolean {
  return path.endsWith("_test.ts") || path.includes("/testing/") || path.startsWith("tests/");
}
