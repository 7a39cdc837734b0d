/**
 * Reading the package sources of a Debian system, in both of apt's formats (sources.list(5)), to find
 * where the same mirror keeps the backports of the running release.
 *
 * @module
 */

/** One entry: field names as in deb822 sources, lower case ("uris", "signed-by"), to their values. */
export type AptSource = Readonly<Record<string, string>>;

/** Options of the one-line format that have another name in deb822. */
const RENAMED_OPTIONS: Readonly<Record<string, string>> = {
  arch: "architectures",
  lang: "languages",
  target: "targets",
};

/**
 * Parses the one-line format, `deb [option=value,value ...] uri suite component ...`. Lines that are
 * not of this form are skipped, as comments are.
 */
export function parseSourcesList(text: string): AptSource[] {
  return text.split("\n").flatMap((line) => {
    const match = /^\s*(deb|deb-src)\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)([^#]*)/.exec(line);
    if (match === null) return [];
    const [, types = "", options = "", uris = "", suites = "", components = ""] = match;
    const fields = [...options.matchAll(/(\S+?)[+-]?=(\S+)/g)].map(([, name = "", value = ""]) => {
      const field = name.toLowerCase();
      return [RENAMED_OPTIONS[field] ?? field, value.replaceAll(",", " ")];
    });
    return [{ ...Object.fromEntries(fields), types, uris, suites, components: components.trim() }];
  });
}

/** Parses the deb822 format: paragraphs of `Field: value`, continued by indented lines. */
export function parseDeb822Sources(text: string): AptSource[] {
  const lines = text.split("\n").filter((line) => !line.startsWith("#"));
  return lines.join("\n").split(/\n\s*\n/).flatMap((paragraph) => {
    const fields = [...paragraph.matchAll(/^([\w-]+):[ \t]*(.*(?:\n[ \t].*)*)/gm)]
      .map(([, name = "", value = ""]) => [name.toLowerCase(), value.trimEnd()]);
    return fields.length === 0 ? [] : [Object.fromEntries(fields)];
  });
}

/**
 * A deb822 entry for the backports of a release, from the entry that provides the release itself: same
 * mirror, same signing key, same options.
 *
 * @param codename The release, "bookworm".
 * @returns Null if no entry provides the release; the empty string if the backports are among the
 *   sources already.
 */
export function backportsSource(sources: readonly AptSource[], codename: string): string | null {
  const backports = `${codename}-backports`;
  const active = sources.filter((source) =>
    words(source["types"]).includes("deb") && source["enabled"]?.trim() !== "no"
  );
  if (active.some((source) => words(source["suites"]).includes(backports))) return "";
  const release = active.find((source) =>
    words(source["suites"]).includes(codename) && words(source["components"]).includes("main")
  );
  if (release === undefined) return null;
  const entry = { ...release, types: "deb", suites: backports, components: "main" };
  return Object.entries(entry).map(([name, value]) => `${name}: ${value}\n`).join("");
}

function words(value: string | undefined): string[] {
  return (value ?? "").split(/\s+/).filter((word) => word !== "");
}
