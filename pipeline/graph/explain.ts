/**
 * Why a stage runs: what differs from the nearest result that the store has of the same node.
 *
 * @module
 */

import type { StageIdentity } from "./manifest.ts";

/** Differences shown before "and n more". */
const SHOWN = 3;

/**
 * The reason in words ("quantizer.group_size changed from 64 to 32").
 *
 * @param earlier Results of the same node that the present plan does not use, newest first.
 * @param nodeOfKey Name of the planned stage that has a key.
 */
export function explainRun(
  identity: StageIdentity,
  earlier: readonly StageIdentity[],
  nodeOfKey: (key: string) => string,
): string {
  let nearest: string[] | null = null;
  for (const candidate of earlier) {
    const differences = differencesOf(candidate, identity, nodeOfKey);
    if (nearest === null || differences.length < nearest.length) nearest = differences;
  }
  if (nearest === null || nearest.length === 0) return "not in the store";
  const more = nearest.length - SHOWN;
  return nearest.slice(0, SHOWN).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** What changed from one stage to another of the same kind, each in a few words. */
function differencesOf(
  before: StageIdentity,
  after: StageIdentity,
  nodeOfKey: (key: string) => string,
): string[] {
  const differences: string[] = [];
  if (before.version !== after.version) {
    differences.push(`the stage's version changed from ${before.version} to ${after.version}`);
  }
  const old = leavesOf(before.parameters);
  const now = leavesOf(after.parameters);
  for (const path of new Set([...now.keys(), ...old.keys()])) {
    if (after.incidental?.includes(path)) continue;
    const [was, is] = [old.get(path), now.get(path)];
    const [wasDigest, isDigest] = [before.sources[path]?.sha256, after.sources[path]?.sha256];
    if (isDigest !== undefined && isDigest === wasDigest) continue; // another name, equal content
    if (was === is) {
      if (isDigest !== wasDigest) differences.push(`the content of ${path} (${is}) changed`);
    } else if (was === undefined) differences.push(`${path} added as ${is}`);
    else if (is === undefined) differences.push(`${path} removed (was ${was})`);
    else differences.push(`${path} changed from ${was} to ${is}`);
  }
  if (before.seed !== after.seed) {
    differences.push(`seed changed from ${before.seed} to ${after.seed}`);
  }
  if (before.device !== after.device) {
    differences.push(`device changed from ${before.device} to ${after.device}`);
  }
  for (const [index, key] of after.upstream.entries()) {
    const was = before.upstream[index];
    if (was === undefined) differences.push(`upstream ${nodeOfKey(key)} added`);
    else if (was !== key) differences.push(`upstream ${nodeOfKey(key)} changed`);
  }
  if (before.upstream.length > after.upstream.length) differences.push("upstream removed");
  return differences;
}

/** Path and printed value of everything in a JSON value that is not an object or list itself. */
function leavesOf(value: unknown, path = "", leaves = new Map<string, string>()) {
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value);
    if (entries.length === 0 && path !== "") leaves.set(path, JSON.stringify(value));
    for (const [key, below] of entries) {
      leavesOf(below, path === "" ? key : `${path}.${key}`, leaves);
    }
  } else if (value !== undefined) {
    // Templates have several lines; a reason has one.
    const isPlain = typeof value === "string" && !value.includes("\n");
    leaves.set(path, isPlain ? value : JSON.stringify(value));
  }
  return leaves;
}
