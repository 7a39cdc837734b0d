/**
 * Files that survive a power cut: writing through to the disk, and replacing in one step.
 *
 * @module
 */

import { dirname, join } from "node:path";
import { byCodeUnits } from "../data/source.ts";

/** Waits until a file's content is on the disk; returns its size in bytes. */
export async function syncFile(path: string): Promise<number> {
  using file = await Deno.open(path, { read: true });
  await file.sync();
  return (await file.stat()).size;
}

/** Waits until a folder's entries (new names, renames) are on the disk. */
export async function syncFolder(path: string): Promise<void> {
  using folder = await Deno.open(path, { read: true });
  await folder.sync();
}

/** Replaces a text file in one step: readers see the old content or the new, never a part. */
export async function replaceTextFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${crypto.randomUUID().slice(0, 8)}.tmp`;
  try {
    await Deno.writeTextFile(temporary, text);
    await syncFile(temporary);
    await Deno.rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw error;
  }
}

/** Paths of all files below a folder, relative to it with `/`, sorted. */
export async function listFiles(folder: string): Promise<string[]> {
  const files: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (!isDirectory) files.push(name);
    else for (const below of await listFiles(join(folder, name))) files.push(`${name}/${below}`);
  }
  return files.sort(byCodeUnits);
}

/** Whether an operation failed because a disk, a quota or the allowed size of a file is used up. */
export function isDiskFull(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as Error & { code?: string };
  return code === "ENOSPC" || code === "EDQUOT" || isDiskFull(error.cause) ||
    error.message.startsWith("File too large"); // EFBIG, which has no code in Deno
}
