/**
 * The apt-get commands that install packages, as argument lists: nothing runs here.
 *
 * @module
 */

/** One way to get packages: refresh the lists (which may fail in part), then install. */
export interface AptAttempt {
  /** "bookworm-backports" or "bookworm", for messages. */
  readonly release: string;
  /** Program and arguments that refresh the lists. */
  readonly update: readonly string[];
  /** Program and arguments that install. */
  readonly install: readonly string[];
}

/** A private view of the package sources, which leaves the system's own untouched. */
export interface PrivateSources {
  /** Holds the system's sources and the added one; stands for `/etc/apt/sources.list.d`. */
  readonly parts: string;
  /** Stands for `/var/lib/apt/lists`. */
  readonly lists: string;
  /** The release added, "bookworm-backports". */
  readonly release: string;
}

/** Variables that keep apt and dpkg from asking questions, and their messages in English. */
export const APT_VARIABLES = { DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8" } as const;

const COMMON = [
  "-q",
  "-o",
  "Acquire::Retries=3",
  "-o",
  "Acquire::http::Timeout=30",
  "-o",
  "DPkg::Lock::Timeout=300",
  "-o",
  "Dpkg::Use-Pty=0",
];

/**
 * Attempts in the order of preference.
 *
 * @param packages Package names.
 * @param options.codename The running release, for messages.
 * @param options.asRoot Prefix that makes a command run as root.
 * @param options.backports A view of the sources with the release's backports, if there are any.
 * @param options.fromBackports The packages that are better from there.
 */
export function aptAttempts(
  packages: readonly string[],
  options: {
    readonly codename: string;
    readonly asRoot: readonly string[];
    readonly backports: PrivateSources | null;
    readonly fromBackports: readonly string[];
  },
): AptAttempt[] {
  const { codename, asRoot, backports, fromBackports } = options;
  // sudo drops most of the environment.
  const prefix = asRoot.length === 0 ? [] : [
    ...asRoot,
    "env",
    ...Object.entries(APT_VARIABLES).map(([name, value]) => `${name}=${value}`),
  ];
  const aptGet = [...prefix, "apt-get", ...COMMON];
  // --no-remove: better an older driver than a desktop that loses packages to a newer one.
  const install = ["install", "--yes", "--no-install-recommends", "--no-remove"];
  const attempts: AptAttempt[] = [{
    release: codename,
    update: [...aptGet, "update"],
    install: [...aptGet, ...install, ...packages],
  }];
  if (backports !== null && fromBackports.length > 0) {
    const own = [
      ...aptGet,
      "-o",
      `Dir::Etc::SourceParts=${backports.parts}`,
      "-o",
      `Dir::State::Lists=${backports.lists}`,
      // Caches in memory only: the cached ones describe the system's own lists.
      "-o",
      "Dir::Cache::pkgcache=",
      "-o",
      "Dir::Cache::srcpkgcache=",
    ];
    attempts.unshift({
      release: backports.release,
      update: [...own, "update"],
      // Not --target-release, which takes every dependency from the backports, too, and so gets in
      // the way of packages of the release that want the same libraries.
      install: [
        ...own,
        ...install,
        ...packages.map((name) =>
          fromBackports.includes(name) ? `${name}/${backports.release}` : name
        ),
      ],
    });
  }
  return attempts;
}

/**
 * What apt said went wrong, without its marks: lists that it could not fetch (a mere warning to
 * `apt-get update`, and the reason why packages are not found later), then errors; if there is neither,
 * the last line that it printed.
 */
export function aptProblem(output: string): string {
  const lines = output.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  const unfetched = lines.filter((line) => /^[WE]: Failed to fetch /.test(line)).slice(0, 1);
  const errors = lines.filter((line) => line.startsWith("E: ")).slice(-2);
  const reasons = [...new Set([...unfetched, ...errors])].map((line) =>
    line.slice(3).replace(/\s+/g, " ")
  );
  return reasons.join("; ") || (lines.at(-1) ?? "it printed nothing");
}
