/**
 * A folder where rows are wanted: it mostly holds several splits, of which one is for training.
 *
 * @module
 */

import { relative } from "node:path";
import { UserError } from "../../errors.ts";
import { statOrNull } from "../../formats/files.ts";
import { byCodeUnits } from "../source.ts";
import { compressionOf } from "../tables/compression.ts";
import { TABLE_FORMATS } from "../tables/registry.ts";

const SHOWN = 5;

/**
 * Says which tables a folder has, so that they can be named.
 *
 * @throws {UserError} If `path` is a folder.
 */
export function refuseFolder(path: string, reference: string): void {
  if (!statOrNull(path)?.isDirectory) return;
  const tables = tablesIn(path).map((file) => relative(path, file)).sort(byCodeUnits);
  const more = tables.length > SHOWN ? ` and ${tables.length - SHOWN} more` : "";
  throw new UserError(
    tables.length === 0
      ? `"${reference}" is a folder without any table in it; name the files to read`
      : `"${reference}" is a folder; name the files to read, as with ${reference}/${
        tables[0]
      }. It ` +
        `has ${tables.slice(0, SHOWN).join(", ")}${more}`,
  );
}

function tablesIn(folder: string): string[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name }) => {
    const path = `${folder}/${name}`;
    // Files in the cache of the Hub are links.
    if (statOrNull(path)?.isDirectory) return tablesIn(path);
    const plain = name.slice(0, name.length - compressionOf(name).length);
    return TABLE_FORMATS.some(({ endings }) => endings.some((end) => plain.endsWith(end)))
      ? [path]
      : [];
  });
}
