/**
 * References to repositories of the Hugging Face Hub, as they stand in experiment files.
 *
 * @module
 */

import { UserError } from "../errors.ts";

/** Kinds of repositories that experiments read. */
export type RepositoryType = "model" | "dataset";

/** A reference, taken apart. */
export interface HubReference {
  /** As the user wrote it. */
  readonly text: string;
  /** Whether it names a model or a data set. */
  readonly type: RepositoryType;
  /** "org/name", or one name for old repositories ("gpt2"). */
  readonly name: string;
  /** Branch, tag or commit. */
  readonly revision: string;
  /** File, folder or glob in the repository, with `/`; empty for the repository as a whole. */
  readonly path: string;
}

/** What the Hub calls the default branch. */
const DEFAULT_REVISION = "main";

const FORM = "wanted hf:org/name[@revision][/path] or hf:datasets/org/name[@revision][/path]";

/**
 * Revisions that hold slashes: refs of pull requests and of converted data sets. They are the only
 * ones that are read without an escape, as in the `hf://` paths of huggingface_hub.
 */
const SLASHED_REVISION = /^refs\/(convert\/\w+|pr\/\d+)(?=\/|$)/;

/** huggingface_hub's rule for the two parts of a repository's name (`validate_repo_id`). */
const NAME_PART = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/;

/** What a glob is recognized by. */
const MAGIC = /[*?[\]{}]/;

/** Whether a reference of an experiment file names something on the Hub. */
export function isHubReference(reference: string): boolean {
  return reference.startsWith("hf:");
}

/** Whether the path of a reference is a pattern. */
export function isGlob(path: string): boolean {
  return MAGIC.test(path);
}

/**
 * Takes a reference apart: `hf:org/name`, `hf:org/name@revision`, `hf:org/name@revision/path-or-glob`,
 * and the same behind `hf:datasets/`. Without `@revision`, it is the branch `main`. A `/` in a
 * revision is written `%2F`, except in `refs/pr/1` and `refs/convert/parquet`.
 *
 * @throws {UserError} If it has another form, or its path climbs out of the repository.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * const { type, name, revision, path } = parseHubReference("hf:datasets/org/name@v1/en/*.parquet");
 * assert.deepEqual([type, name, revision, path], ["dataset", "org/name", "v1", "en/*.parquet"]);
 * ```
 */
export function parseHubReference(text: string): HubReference {
  const refuse = (reason: string) => new UserError(`"${text}": ${reason}; ${FORM}`);
  if (!isHubReference(text)) throw refuse("this is no reference to the Hugging Face Hub");
  let rest = text.slice("hf:".length);
  const type = rest.startsWith("datasets/") ? "dataset" : "model";
  if (type === "dataset") rest = rest.slice("datasets/".length);
  const at = rest.indexOf("@");
  const before = (at < 0 ? rest : rest.slice(0, at)).split("/");
  const name = before.slice(0, 2).join("/");
  if (!isRepositoryName(name)) throw refuse(`"${name}" is no name of a repository`);
  let revision = DEFAULT_REVISION;
  let path = before.slice(2).join("/");
  if (at >= 0) {
    if (path !== "") throw refuse("the revision belongs behind the name of the repository");
    const behind = rest.slice(at + 1);
    const written = SLASHED_REVISION.exec(behind)?.[0] ?? behind.split("/", 1)[0] ?? "";
    revision = written.replace(/%2F/gi, "/");
    path = behind.slice(written.length + 1);
  }
  if (!isRevision(revision)) throw refuse(`"${revision}" is no branch, tag or commit`);
  path = path.replace(/\/$/, "");
  if (path !== "") {
    const problem = unsafeName(path);
    if (problem !== null) throw refuse(`the path "${path}" ${problem}`);
  }
  return { text, type, name, revision, path };
}

/** The reference with another revision: a commit, to pin it. */
export function withRevision(reference: HubReference, revision: string): HubReference {
  const written = SLASHED_REVISION.test(revision) ? revision : revision.replaceAll("/", "%2F");
  const { path } = reference;
  const text = `${repositoryText(reference)}@${written}${path === "" ? "" : `/${path}`}`;
  return { ...reference, revision, text };
}

/** "hf:org/name", "hf:datasets/org/name". */
export function repositoryText({ type, name }: Pick<HubReference, "type" | "name">): string {
  return `hf:${type === "dataset" ? "datasets/" : ""}${name}`;
}

/** Whether a revision is the full name of a commit, which never changes. */
export function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision);
}

/**
 * Why a name of a file in a repository must not become a path of this machine; null if it may. Names
 * come from the server, so all that some system reads as "elsewhere" is refused on every system.
 */
export function unsafeName(name: string): string | null {
  // deno-lint-ignore no-control-regex -- control characters are what is looked for
  if (/[\x00-\x1f\x7f]/.test(name)) return "holds a control character";
  if (name.includes("\\")) return "holds a backslash";
  if (name.startsWith("/")) return "is absolute";
  if (/^[A-Za-z]:/.test(name)) return "begins with a drive letter";
  if (name.split("/").some((part) => part === "" || part === "." || part === "..")) {
    return 'has an empty part, "." or ".."';
  }
  return null;
}

function isRepositoryName(name: string): boolean {
  return !name.includes("--") && !name.includes("..") && name.length <= 96 &&
    name.split("/").every((part) => NAME_PART.test(part) && !/[.-]$/.test(part));
}

/** The rules of git for names of refs, as far as they could matter to a path or an address. */
function isRevision(revision: string): boolean {
  return unsafeName(revision) === null && !/[ ~^:?*[]|\.\.|@\{|\.lock$|^-/.test(revision);
}
