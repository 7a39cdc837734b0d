/**
 * Locks between processes: of two that want the same result, one makes it and the other waits.
 *
 * @module
 */

import { setTimeout as delay } from "node:timers/promises";

/** Time between two attempts to get a lock that another process holds. */
const RETRY_MILLISECONDS = 200;

/** A held lock; disposing it lets others in. */
export interface Lock extends Disposable {
  /** The lock file. */
  readonly path: string;
}

/**
 * Takes the lock `path`, waiting while another process has it. The kernel's advisory lock is the
 * truth, so the lock of a process that died is free at once; the text in the file only names the
 * holder for messages.
 *
 * @param options.signal Gives up waiting with `signal.reason`.
 * @param options.waiting Called once if the lock is not free, with its holder as far as the file tells
 * ("process 4711 on node7").
 */
export async function lock(
  path: string,
  options: { signal?: AbortSignal; waiting?: (holder: string) => void } = {},
): Promise<Lock> {
  const { signal, waiting } = options;
  for (let told = false;;) {
    signal?.throwIfAborted();
    const held = await tryLock(path);
    if (held !== null) return held;
    if (!told) waiting?.(await holderOf(path));
    told = true;
    // An abort ends the pause early; the check above then throws its reason.
    await delay(RETRY_MILLISECONDS, undefined, signal ? { signal } : {}).catch(() => {});
  }
}

/** Takes the lock `path` if it is free. */
export async function tryLock(path: string): Promise<Lock | null> {
  const file = await Deno.open(path, { create: true, read: true, write: true });
  try {
    if (await file.tryLock(true) && await isStill(file, path)) {
      await nameHolder(file);
      return {
        path,
        [Symbol.dispose]: () => {
          // Removed while locked: whoever waits on this inode sees that the path has another.
          try {
            Deno.removeSync(path);
          } finally {
            file.close();
          }
        },
      };
    }
  } catch (error) {
    file.close();
    throw error;
  }
  file.close();
  return null;
}

/** A full disk has no room for the name, and the lock holds without. */
async function nameHolder(file: Deno.FsFile): Promise<void> {
  try {
    await file.truncate();
    await file.write(new TextEncoder().encode(`process ${Deno.pid} on ${Deno.hostname()}\n`));
  } catch {
    // Whoever waits is told of "another process".
  }
}

/** Whether `path` is still the file that was opened: its last holder removed it on release. */
async function isStill(file: Deno.FsFile, path: string): Promise<boolean> {
  const opened = await file.stat();
  try {
    const present = await Deno.stat(path);
    return present.ino === opened.ino && present.dev === opened.dev;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function holderOf(path: string): Promise<string> {
  try {
    return (await Deno.readTextFile(path)).trim() || "another process";
  } catch {
    return "another process";
  }
}
