/**
 * The experiment's graph as a picture: nodes in order, one below the other, and arcs from each to
 * what reads it.
 *
 * @module
 */

import { Html, html } from "./html_markup.ts";
import type { PlanRecord } from "./plan_text.ts";

/** A node of the graph, over all cells. */
export interface ReportNode {
  /** "base". */
  readonly name: string;
  /** "quantize". */
  readonly stage: string;
  /** Names of the nodes it reads. */
  readonly reads: readonly string[];
  /** Unique stages that it stands for. */
  readonly stages: number;
}

const ROW = 40;
const TOP = 22;
/** Where the nodes are; arcs bulge to the left of it. */
const LINE = 150;
const WIDTH = 480;

/** The nodes that the stages of a plan belong to, in order. */
export function reportNodes(plan: readonly PlanRecord[]): ReportNode[] {
  const nodes = new Map<string, { stage: string; reads: Set<string>; stages: number }>();
  const names = new Map(plan.map(({ key, node }) => [key, nodeName(node)]));
  for (const { node, stage, upstream } of plan) {
    const entry = nodes.get(nodeName(node)) ?? { stage, reads: new Set<string>(), stages: 0 };
    entry.stages++;
    for (const key of upstream) {
      const name = names.get(key);
      if (name !== undefined) entry.reads.add(name);
    }
    nodes.set(nodeName(node), entry);
  }
  const list = [...nodes].map(([name, { stage, reads, stages }]) => ({
    name,
    stage,
    reads: [...reads],
    stages,
  }));
  return inOrder(list);
}

/** Draws them. */
export function drawGraph(nodes: readonly ReportNode[]): Html {
  const height = 2 * TOP + ROW * Math.max(0, nodes.length - 1);
  const heights = new Map(nodes.map(({ name }, index) => [name, TOP + ROW * index]));
  const arcs = nodes.flatMap(({ name, reads }) =>
    reads.map((from) => arc(heights.get(from) ?? 0, heights.get(name) ?? 0))
  );
  return html`
    <svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${describe(nodes)}">
      <g fill="none" stroke="currentColor" stroke-opacity="0.4" stroke-width="1.5">${arcs}</g>
      ${nodes.map((node) => label(node, heights.get(node.name) ?? 0))}
    </svg>
  `;
}

function label({ name, stage, stages }: ReportNode, y: number): Html {
  const kind = stages > 1 ? `${stage} × ${stages}` : stage;
  return html`
    <circle cx="${LINE}" cy="${y}" r="5" fill="var(--accent)" />
    <text x="${LINE + 16}" y="${y + 5}" font-size="15" fill="currentColor">
      ${name}<tspan dx="10" font-size="13" fill-opacity="0.6">${kind}</tspan>
    </text>
  `;
}

/** "quality.tuned" belongs to the node "quality". */
function nodeName(id: string): string {
  return id.split(".")[0] ?? id;
}

/** What is read comes first; stable otherwise. */
function inOrder(nodes: readonly ReportNode[]): ReportNode[] {
  const ordered: ReportNode[] = [];
  const visit = (node: ReportNode) => {
    if (ordered.includes(node)) return;
    for (const name of node.reads) {
      const upstream = nodes.find((other) => other.name === name);
      if (upstream !== undefined && upstream !== node) visit(upstream);
    }
    ordered.push(node);
  };
  nodes.forEach(visit);
  return ordered;
}

/** Straight to the next row, in an arc past the rows between. */
function arc(from: number, to: number): Html {
  const rows = (to - from) / ROW;
  const bulge = rows <= 1 ? 0 : Math.min(LINE - 12, 26 + 18 * rows);
  const control = LINE - bulge * 4 / 3;
  return html`
    <path
      d="M${LINE} ${from}C${control} ${from + ROW / 2} ${control} ${to - ROW / 2} ${LINE} ${to}" />
  `;
}

function describe(nodes: readonly ReportNode[]): string {
  return nodes.map(({ name, reads }) =>
    reads.length === 0 ? name : `${name} reads ${reads.join(", ")}`
  ).join("; ");
}
