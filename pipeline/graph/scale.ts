/**
 * `scale:` and `scales:`: one file for the machine with the GPU and for the laptop. The graph is the
 * same; what a scale lists is laid over the rest of the file, as a file is over the one it `extends`.
 *
 * @module
 */

import { parseYaml } from "./document.ts";
import {
  keysAt,
  type LocatedMap,
  lookup,
  merge,
  originOfKey,
  toPlain,
  without,
} from "./located.ts";
import type { Origin } from "./origin.ts";
import type { ProblemList } from "./problems.ts";
import { didYouMeanOf } from "./suggestions.ts";

/** The file as it stands. */
const FULL = "full";

const SETTING = /^scale=(.*)$/s;

/**
 * Lays the chosen scale over the document: the one that `--set scale=` names, else the file's `scale`,
 * else none. Results go to a folder of their own, `name-scale`, unless the scale has a `name`.
 *
 * @param name Of the experiment at full scale; null if only the document can say it.
 * @param folder Absolute; of a value on the command line.
 * @returns The document without `scales` and `scale`, and the settings that do not choose a scale.
 */
export function applyScale(
  root: LocatedMap,
  name: string | null,
  settings: readonly string[],
  folder: string,
  problems: ProblemList,
): { readonly document: LocatedMap; readonly settings: readonly string[] } {
  const chosen = chosenScale(root, settings, folder, problems);
  const document = without(root, ["scale", "scales"]);
  const others = settings.filter((setting) => !SETTING.test(setting));
  if (chosen === null || chosen.scale === FULL) return { document, settings: others };
  const { scale, origin } = chosen;
  const overlay = lookup(root, ["scales", scale]);
  if (overlay?.kind !== "map") {
    const scales = [FULL, ...keysAt(root, ["scales"])];
    problems.add(
      overlay?.origin ?? origin,
      overlay === null
        ? `There is no scale ${JSON.stringify(scale)}${didYouMeanOf(scale, scales)}`
        : `The scale ${JSON.stringify(scale)} must be a map of what it changes`,
    );
    return { document, settings: others };
  }
  const named = lookup(root, ["name"]);
  const fullName = named === null ? name : toPlain(named) ?? name;
  const ownName = fullName === null ? new Map() : new Map([[
    "name",
    { key: origin, value: { kind: "scalar" as const, value: `${fullName}-${scale}`, origin } },
  ]]);
  const renamed = merge(document, { kind: "map", origin, entries: ownName });
  return { document: merge(renamed, overlay) as LocatedMap, settings: others };
}

function chosenScale(
  root: LocatedMap,
  settings: readonly string[],
  folder: string,
  problems: ProblemList,
): { readonly scale: string; readonly origin: Origin } | null {
  const setting = settings.findLast((text) => SETTING.test(text));
  const option = `--set ${setting}`;
  const value = setting === undefined
    ? lookup(root, ["scale"])
    : parseYaml(SETTING.exec(setting)?.[1] ?? "", { option, folder }, problems);
  const origin = setting === undefined
    ? originOfKey(root, ["scale"])
    : { position: null, folder, option };
  if (value === null) return null;
  const scale = toPlain(value) ?? FULL;
  if (typeof scale === "string") return { scale, origin };
  problems.add(origin, `scale must be a name: found ${JSON.stringify(scale)}`);
  return null;
}
