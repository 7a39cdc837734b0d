/**
 * Which files of a repository a reference stands for.
 *
 * @module
 */

import { matchesGlob, posix } from "node:path";
import { UserError } from "../errors.ts";
import { type HubReference, isGlob, repositoryText } from "./reference.ts";

/** What the choice depends on. */
export interface NamedFile {
  /** With `/`. */
  readonly path: string;
}

/** The list of the shards of a model. */
const INDEX = "model.safetensors.index.json";

/** Where weights are that lie in one file, by preference: of a model, of an adapter. */
const SINGLE = ["model.safetensors", "adapter_model.safetensors"];

/** Configuration and tokenizer: `*.json`, SentencePiece and tiktoken files, old vocabularies. */
const BESIDES_WEIGHTS = /(\.json|\.model|\.tiktoken|\.jinja|(^|\/)(merges|vocab)\.txt)$/;

/** The same weights in forms that are not read. */
const OTHER_WEIGHTS = /\.(bin|pt|pth|ckpt|gguf|ggml|h5|msgpack|onnx|pkl)$/;

/** Tables and texts, compressed or not. */
const DATA = /\.(parquet|jsonl|ndjson|json|csv|tsv|txt|text)(\.(gz|bz2|zst))?$/;

/** Descriptions of a data set that have the form of data. */
const DESCRIPTIONS = /(^|\/)(dataset_infos?|state|dataset_dict)\.json$/;

/** Files, and what they are together. */
export interface Selection<File> {
  /** `list` for a glob; `folder` for a repository or a folder of it. */
  readonly kind: "file" | "folder" | "list";
  /** Folder of the repository that names are relative to; empty for the repository itself. */
  readonly root: string;
  /** Sorted by path. */
  readonly files: readonly File[];
}

/**
 * Picks the files of a reference.
 *
 * @param files All files of the commit.
 * @param readIndex The content of a file that was picked, to learn of the shards of a model.
 * @returns Null if the reference has a path and nothing is there.
 * @throws {UserError} If the repository holds weights or data in forms only that are not read.
 */
export async function selectFiles<File extends NamedFile>(
  reference: HubReference,
  files: readonly File[],
  readIndex: (file: File) => Promise<string>,
): Promise<Selection<File> | null> {
  const { path, type } = reference;
  if (isGlob(path)) {
    const picked = files.filter((file) => matchesGlob(file.path, path));
    return picked.length === 0 ? null : { kind: "list", root: fixedPart(path), files: picked };
  }
  const file = files.find((candidate) => candidate.path === path);
  if (file !== undefined) {
    return { kind: "file", root: path.includes("/") ? posix.dirname(path) : "", files: [file] };
  }
  const below = path === "" ? files : files.filter((file) => file.path.startsWith(`${path}/`));
  if (below.length === 0 && path !== "") return null;
  return {
    kind: "folder",
    root: path,
    files: type === "model"
      ? await modelFiles(reference, below, readIndex)
      : dataFiles(reference, below),
  };
}

/** Right in the folder: what lies below are other forms of the model. */
async function modelFiles<File extends NamedFile>(
  reference: HubReference,
  below: readonly File[],
  readIndex: (file: File) => Promise<string>,
): Promise<File[]> {
  const prefix = reference.path === "" ? "" : `${reference.path}/`;
  const here = below.filter(({ path }) => !path.slice(prefix.length).includes("/"));
  const tensors = here.filter(({ path }) => path.endsWith(".safetensors"));
  const index = here.find(({ path }) => path === prefix + INDEX);
  const single = tensors.filter(({ path }) => SINGLE.includes(path.slice(prefix.length)));
  let weights = single.length > 0 ? single : tensors;
  if (index !== undefined) {
    const names = shardNames(await readIndex(index), reference, index);
    weights = names.map((name) => {
      const shard = tensors.find(({ path }) => path === prefix + name);
      if (shard !== undefined) return shard;
      throw new UserError(
        `${repositoryText(reference)}: ${index.path} names the shard "${name}", which the ` +
          `repository does not have: use another revision`,
      );
    });
  }
  if (weights.length === 0) refuseOtherWeights(reference, below);
  const picked = new Set([...weights, ...here.filter(({ path }) => BESIDES_WEIGHTS.test(path))]);
  return here.filter((file) => picked.has(file));
}

function shardNames(text: string, reference: HubReference, index: NamedFile): string[] {
  try {
    const { weight_map: map } = JSON.parse(text) as { weight_map: Record<string, string> };
    return [...new Set(Object.values(map))];
  } catch {
    throw new UserError(
      `${repositoryText(reference)}: ${index.path} is no list of shards: use another revision`,
    );
  }
}

function refuseOtherWeights(reference: HubReference, below: readonly NamedFile[]): void {
  const others = below.filter(({ path }) => OTHER_WEIGHTS.test(path)).map(({ path }) => path);
  if (others.length === 0) return;
  const shown = others.slice(0, 3).join(", ") + (others.length > 3 ? ", …" : "");
  const repository = repositoryText(reference);
  throw new UserError(
    `${repository} has its weights only as ${shown}: wanted safetensors. The pull requests of the ` +
      `repository may have them (${repository}@refs/pr/1); else convert the model and give the ` +
      `path of its folder`,
  );
}

function dataFiles<File extends NamedFile>(
  reference: HubReference,
  below: readonly File[],
): File[] {
  const picked = below.filter(({ path }) =>
    DATA.test(path) && !DESCRIPTIONS.test(path) && !/(^|\/)\./.test(path)
  );
  if (picked.length > 0) return picked;
  const repository = repositoryText(reference);
  throw new UserError(
    `${repository} holds no tables and texts (.parquet, .jsonl, .json, .csv, .txt) in revision ` +
      `"${reference.revision}": the Hub's own conversion may be in ` +
      `${repository}@refs/convert/parquet`,
  );
}

/** The leading folders of a pattern. */
function fixedPart(pattern: string): string {
  const parts = pattern.split("/");
  return parts.slice(0, parts.findIndex(isGlob)).join("/");
}
