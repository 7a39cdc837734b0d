/**
 * Installing Debian packages without a question asked and without changing the system's sources.
 *
 * @module
 */

import { basename, join } from "node:path";
import { APT_VARIABLES, aptAttempts, aptProblem, type PrivateSources } from "./apt_commands.ts";
import {
  type AptSource,
  backportsSource,
  parseDeb822Sources,
  parseSourcesList,
} from "./apt_sources.ts";

/** Outcome of {@linkcode installPackages}. */
export interface Installation {
  /** The release that the packages came from, or null if every attempt failed. */
  readonly release: string | null;
  /** Why attempts failed, one sentence each. */
  readonly problems: readonly string[];
}

/**
 * Installs packages with apt-get, from the release's backports if wanted and available, else from the
 * release itself.
 *
 * @param packages Package names.
 * @param options.codename The running release.
 * @param options.asRoot Prefix that makes a command run as root.
 * @param options.fromBackports The packages whose backports are worth a try.
 * @param options.sources Folder with the system's sources. Default: `/etc/apt`.
 */
export async function installPackages(
  packages: readonly string[],
  options: {
    readonly codename: string;
    readonly asRoot: readonly string[];
    readonly fromBackports: readonly string[];
    readonly sources?: string;
  },
): Promise<Installation> {
  const { codename, asRoot, fromBackports, sources = "/etc/apt" } = options;
  const folder = await Deno.makeTempDir({ prefix: "equipoise-apt-" });
  try {
    const backports = fromBackports.length > 0
      ? await preparePrivateSources(folder, sources, codename)
      : null;
    const problems: string[] = [];
    for (const attempt of aptAttempts(packages, { codename, asRoot, backports, fromBackports })) {
      const update = await run(attempt.update);
      const install = await run(attempt.install);
      if (install.success) return { release: attempt.release, problems };
      problems.push(
        `apt-get could not install from ${attempt.release}: ` +
          aptProblem(update.output + install.output),
      );
    }
    return { release: null, problems };
  } finally {
    // apt wrote there as root, so that removing it takes root, too.
    if (asRoot.length === 0) await Deno.remove(folder, { recursive: true });
    else await run([...asRoot, "rm", "-rf", folder]);
  }
}

/**
 * Copies the system's sources to `folder` and adds the backports of `codename` from the same mirror.
 *
 * @returns Null if the sources do not say where the release comes from.
 */
export async function preparePrivateSources(
  folder: string,
  sources: string,
  codename: string,
): Promise<PrivateSources | null> {
  const parts = join(folder, "sources.list.d");
  const lists = join(folder, "lists");
  await Deno.mkdir(parts);
  await Deno.mkdir(join(lists, "partial"), { recursive: true });
  // Downloads run as the user _apt, who must be able to reach the lists.
  await Deno.chmod(folder, 0o755);
  const known: AptSource[] = [];
  for (const path of await sourceFiles(sources)) {
    const text = await Deno.readTextFile(path);
    known.push(...(path.endsWith(".sources") ? parseDeb822Sources(text) : parseSourcesList(text)));
    if (basename(path) !== "sources.list") {
      await Deno.writeTextFile(join(parts, basename(path)), text);
    }
  }
  const entry = backportsSource(known, codename);
  if (entry === null) return null;
  if (entry !== "") await Deno.writeTextFile(join(parts, "equipoise-backports.sources"), entry);
  return { parts, lists, release: `${codename}-backports` };
}

async function sourceFiles(sources: string): Promise<string[]> {
  const files: string[] = [];
  for (const folder of [sources, join(sources, "sources.list.d")]) {
    try {
      for await (const { name, isDirectory } of Deno.readDir(folder)) {
        if (!isDirectory && /\.(list|sources)$/.test(name)) files.push(join(folder, name));
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return files.sort();
}

async function run(command: readonly string[]): Promise<{ success: boolean; output: string }> {
  const [program = "", ...args] = command;
  const decoder = new TextDecoder();
  try {
    const { success, stdout, stderr } = await new Deno.Command(program, {
      args,
      env: APT_VARIABLES,
      stdin: "null",
    }).output();
    return { success, output: decoder.decode(stdout) + decoder.decode(stderr) };
  } catch (error) {
    return { success: false, output: error instanceof Error ? error.message : String(error) };
  }
}
