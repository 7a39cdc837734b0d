/**
 * OpenAssistant's message trees (Köpf et al. 2023), one message a row. Every tree becomes one
 * conversation: from its root, at every level the reply with the best rank, as QLoRA (Dettmers et al.
 * 2023, section 5.1) trains on it.
 *
 * @module
 */

import type { Row } from "../tables/row.ts";
import { BadRow, type Fields, textOf } from "./bad_row.ts";
import type { Importer } from "./importer.ts";
import { messages } from "./messages.ts";

const ROLES: ReadonlyMap<string, string> = new Map([
  ["prompter", "user"],
  ["assistant", "assistant"],
]);

/** See the module documentation. Deleted messages are left out, with what answers them. */
export const oasst1: Importer = {
  name: "oasst1",
  summary:
    "message trees: `message_id`, `parent_id`, `role`, `text`, `rank`; the best reply at every " +
    "level makes the conversation",
  columns: ["message_id", "parent_id", "role", "text"],
  samples: messages.samples,
  async *gather(rows, refuse) {
    const nodes = new Map<string, Node>();
    for await (const row of rows) {
      try {
        const node = nodeOf(row);
        if (nodes.has(node.id)) throw new BadRow(`the message "${node.id}" is there twice`);
        nodes.set(node.id, node);
      } catch (error) {
        if (!(error instanceof BadRow)) throw error;
        refuse(row.place, error.message);
      }
    }
    const replies = repliesOf(nodes, refuse);
    for (const node of nodes.values()) {
      if (node.parent !== null || node.deleted) continue;
      const path = bestPath(node, replies);
      if (path.length === 0) refuse(node.place, "no assistant has replied to this message");
      else yield { place: node.place, fields: { messages: path } };
    }
  },
};

interface Node {
  readonly id: string;
  readonly parent: string | null;
  readonly role: string;
  readonly text: string;
  /** 0 is the best; messages that nobody ranked come after those. */
  readonly rank: number;
  readonly deleted: boolean;
  readonly place: string;
}

function nodeOf({ fields, place }: Row): Node {
  const name = textOf(fields, "role");
  const role = ROLES.get(name);
  if (role === undefined) {
    throw new BadRow(`the role is "${name}"; wanted ${[...ROLES.keys()].join(" or ")}`);
  }
  return {
    id: textOf(fields, "message_id"),
    // CSV has no null.
    parent: (fields.parent_id ?? "") === "" ? null : textOf(fields, "parent_id"),
    role,
    text: textOf(fields, "text"),
    rank: rankOf(fields),
    deleted: fields.deleted === true,
    place,
  };
}

function rankOf({ rank }: Fields): number {
  if ((rank ?? "") === "") return Infinity;
  const number = Number(rank);
  if (Number.isNaN(number)) {
    throw new BadRow(`the rank is ${JSON.stringify(rank)}; wanted a number`);
  }
  return number;
}

function repliesOf(
  nodes: ReadonlyMap<string, Node>,
  refuse: (place: string, message: string) => void,
): Map<string, Node[]> {
  const replies = new Map<string, Node[]>();
  for (const node of nodes.values()) {
    if (node.parent === null) continue;
    if (!nodes.has(node.parent)) {
      refuse(node.place, `it answers the message "${node.parent}", which is not there`);
    } else if (!node.deleted) {
      replies.set(node.parent, [...replies.get(node.parent) ?? [], node]);
    }
  }
  return replies;
}

/** The best reply at every level, the earlier one of equals; it ends with an assistant's. */
function bestPath(root: Node, replies: ReadonlyMap<string, readonly Node[]>): object[] {
  const path: Node[] = [];
  for (let node: Node | undefined = root; node !== undefined;) {
    path.push(node);
    const next: readonly Node[] = replies.get(node.id) ?? [];
    node = next.toSorted((left, right) => compareRanks(left.rank, right.rank))[0];
  }
  const end = path.findLastIndex(({ role }) => role === "assistant");
  return path.slice(0, end + 1).map(({ role, text }) => ({ role, content: text }));
}

/** Infinity minus itself is no number. */
function compareRanks(left: number, right: number): number {
  return left === right ? 0 : left - right;
}
