/**
 * Running comparisons.
 *
 * @module
 */

import { compare, type ComparisonEffort, type Quartiles, quartiles } from "./compare.ts";
import type { ComparisonPlan, ProgramName, Side, Wanted } from "./comparisons.ts";
import { Program } from "./program.ts";
import { findProgram, type ProgramOptions } from "./programs.ts";
import type { PeerReply } from "./protocol.ts";
import { unitOf, workOf } from "./protocol.ts";

/** Rates of one side. */
export interface SideResult {
  /** "PyTorch". */
  readonly program: string;
  /** What differs from the workload. */
  readonly note: string;
  /** A number that the other side should have, too; null if there is none. */
  readonly value: number | null;
  /** Work per second, by sample, in the order measured. */
  readonly rates: readonly number[];
  /** Of them. */
  readonly rate: Quartiles;
}

/** A finished comparison, or why there is none. */
export type ComparisonResult =
  & { readonly title: string; readonly unit: string; readonly wanted: Wanted | null }
  & (
    | {
      readonly first: SideResult;
      readonly second: SideResult;
      /** Speed of the first over that of the second, by round. */
      readonly ratio: Quartiles;
    }
    | { readonly skipped: string }
  );

/** GFLOP/s of nothing but multiply-adds on registers, the best of many samples. */
export interface PeerCeilings {
  /** With the widest vectors there are. */
  readonly widest: number;
  /** With vectors of 128 bits, on the CPU; else the same. */
  readonly narrow: number;
}

/** Everything of a run. */
export interface PeersReport {
  /** Tells this JSON from others. */
  readonly format: "equipoise/peers";
  /** Of the schema. */
  readonly version: 1;
  /** ISO 8601, UTC. */
  readonly started: string;
  /** ISO 8601, UTC. */
  readonly finished: string;
  /** Runnable processes over the last minute, when the run started and when it ended. */
  readonly loadAverage: readonly [number, number];
  /** Of every program. */
  readonly threads: number;
  /** Processors that all programs were bound to; null if they were not. */
  readonly processors: readonly number[] | null;
  /** Versions by program. */
  readonly programs: Readonly<Record<string, string>>;
  /** What our device can do at most; null if unknown. */
  readonly ceilings: PeerCeilings | null;
  /** In the order measured. */
  readonly results: readonly ComparisonResult[];
}

/** What to run. */
export interface PeersOptions extends ProgramOptions {
  /** To bind every program to; null to bind none. */
  readonly processors: readonly number[] | null;
  /** How often and how long. */
  readonly effort: ComparisonEffort;
  /** Called before each comparison. */
  readonly onStart?: (title: string, done: number, total: number) => void;
}

/** Samples of the ceiling, of which the best counts. */
const CEILING_SAMPLES = 40;

/** Runs comparisons one after another, each with programs of its own. */
export async function runComparisons(
  plans: readonly ComparisonPlan[],
  options: PeersOptions,
): Promise<PeersReport> {
  const started = new Date().toISOString();
  const loadBefore = Deno.loadavg()[0] ?? NaN;
  const programs: Record<string, string> = {};
  const before = await measureCeilings(options);
  const results: ComparisonResult[] = [];
  for (const [done, plan] of plans.entries()) {
    options.onStart?.(plan.title, done, plans.length);
    const unit = unitOf(plan.first.workload).name;
    const { title, wanted } = plan;
    const outcome = await runComparison(plan, options, programs);
    results.push({ title, unit, wanted, ...outcome });
  }
  const after = await measureCeilings(options);
  return {
    format: "equipoise/peers",
    version: 1,
    started,
    finished: new Date().toISOString(),
    loadAverage: [loadBefore, Deno.loadavg()[0] ?? NaN],
    threads: options.threads,
    processors: options.processors,
    programs,
    ceilings: before === null ? null : {
      widest: Math.max(before.widest, after?.widest ?? 0),
      narrow: Math.max(before.narrow, after?.narrow ?? 0),
    },
    results,
  };
}

type Outcome =
  | { readonly first: SideResult; readonly second: SideResult; readonly ratio: Quartiles }
  | { readonly skipped: string };

async function runComparison(
  { first, second }: ComparisonPlan,
  options: PeersOptions,
  versions: Record<string, string>,
): Promise<Outcome> {
  try {
    await using one = await open(first.program, options);
    await using other = await open(second.program, options);
    for (const program of [one, other]) versions[program.name] ??= await program.describe();
    const firstReply = prepared(await one.prepare(first.workload));
    const secondReply = prepared(await other.prepare(second.workload));
    const times = await compare(
      (calls) => one.time(calls),
      (calls) => other.time(calls),
      options.effort,
    );
    return {
      first: sideResult(one, first, firstReply, times.first),
      second: sideResult(other, second, secondReply, times.second),
      ratio: quartiles(times.ratios),
    };
  } catch (error) {
    if (error instanceof Error) return { skipped: error.message };
    throw error;
  }
}

async function open(name: ProgramName, options: PeersOptions): Promise<Program> {
  const command = await findProgram(name, options);
  if (typeof command === "string") throw new Error(command);
  return new Program(command, options.processors);
}

function prepared(reply: PeerReply): PeerReply {
  if (reply.unsupported !== undefined) throw new Error(reply.unsupported);
  return reply;
}

function sideResult(
  { name }: Program,
  { workload }: Side,
  { value = null, note = "", work }: PeerReply,
  seconds: readonly number[],
): SideResult {
  const amount = (workOf(workload) ?? work ?? NaN) / unitOf(workload).scale;
  const rates = seconds.map((time) => amount / time);
  return { program: name, note, value, rates, rate: quartiles(rates) };
}

async function measureCeilings(options: PeersOptions): Promise<PeerCeilings | null> {
  await using program = await open("equipoise", options);
  const best = async (vectors: "widest" | "128 bits") => {
    const { work = NaN, unsupported } = await program.prepare({ kind: "ceiling", vectors });
    if (unsupported !== undefined) return null;
    let seconds = Infinity;
    for (let sample = 0; sample < CEILING_SAMPLES; sample++) {
      seconds = Math.min(seconds, await program.time(1));
    }
    return work / seconds / 1e9;
  };
  const widest = await best("widest");
  const narrow = await best("128 bits");
  return widest === null || narrow === null ? null : { widest, narrow };
}
