/**
 * Names of models in a run: `NODE`, `CELL` or `CELL/NODE`.
 *
 * @module
 */

import { UserError } from "./errors.ts";
import type { CellResult, Results } from "./graph/results.ts";

/** A place in a run; null is what the run has only one of. */
export interface RunPlace {
  readonly cell: number | null;
  readonly node: string | null;
}

/** Takes a name apart: "3/tuned", "3" or "tuned"; empty for neither. */
export function splitPlace(name: string): RunPlace {
  const [, cell, node] = /^(\d+)(?:\/(.*))?$/.exec(name) ?? [];
  if (cell === undefined) return { cell: null, node: name || null };
  return { cell: Number(cell), node: node || null };
}

/**
 * The cell of a place.
 *
 * @throws {UserError} If there is no such cell, or it must be named.
 */
export function cellOf({ cells, name }: Results, { cell: index, node }: RunPlace): CellResult {
  const [first, ...others] = cells;
  if (first === undefined) throw new UserError(`The run ${name} has no cell`);
  if (index === null) {
    if (others.length === 0) return first;
    const example = node === null ? "0" : `0/${node}`;
    throw new UserError(
      `The run ${name} has ${cells.length} cells; name one of them, as in ${example}:\n` +
        cells.map((cell) => `  ${cell.index}  ${valuesText(cell)}`).join("\n"),
    );
  }
  const found = cells.find((cell) => cell.index === index);
  if (found !== undefined) return found;
  const known = others.length === 0 ? "its only cell is 0" : `its cells are 0 to ${others.length}`;
  throw new UserError(`The run ${name} has no cell ${index}; ${known}`);
}

function valuesText({ values }: CellResult): string {
  return Object.entries(values).map(([axis, value]) => `${axis} ${JSON.stringify(value)}`)
    .join(", ");
}
