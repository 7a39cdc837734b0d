/**
 * The environment of the Hugging Face ecosystem: where the cache is, who asks, whom, and whether at
 * all. Names and defaults are those of `huggingface_hub/constants.py`.
 *
 * @module
 */

import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { UserError } from "../errors.ts";

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string>>;

/** A token that no log, no JSON and no message shows. */
export class Token {
  /** Where it comes from: "HF_TOKEN", or a file. */
  readonly source: string;
  readonly #value: string;

  /** Keeps the token. */
  constructor(value: string, source: string) {
    this.#value = value;
    this.source = source;
  }

  /** The value of the `Authorization` header. */
  get authorization(): string {
    return `Bearer ${this.#value}`;
  }

  /** A text of others without the token. */
  redact(text: string): string {
    return text.replaceAll(this.#value, "[token]");
  }
}

/** Everything that the environment decides. */
export interface HubSettings {
  /** Absolute path of the folder with `models--org--name`. */
  readonly cache: string;
  /** "https://huggingface.co", without a slash behind. */
  readonly endpoint: string;
  /** Null for anonymous requests. */
  readonly token: Token | null;
  /** Why the network is not used ("HF_HUB_OFFLINE is set"); null if it is. */
  readonly offline: string | null;
  /** Whether snapshots may be links into `blobs`. */
  readonly symlinks: boolean;
  /** Milliseconds of silence after which a request for metadata is given up. */
  readonly metadataTimeout: number;
  /** Milliseconds of silence after which a download is given up. */
  readonly downloadTimeout: number;
}

const DEFAULT_ENDPOINT = "https://huggingface.co";

/** Seconds; `DEFAULT_ETAG_TIMEOUT` and `DEFAULT_DOWNLOAD_TIMEOUT`. */
const DEFAULT_TIMEOUT = 10;

/**
 * Reads the environment.
 *
 * @param environment Environment variables.
 * @param mayConnect Whether this process has the permission to connect to a host.
 * @throws {UserError} If a variable cannot be used.
 */
export function hubSettings(
  environment: Environment = Deno.env.toObject(),
  mayConnect: (host: string) => boolean = hasPermission,
): HubSettings {
  const endpoint = endpointOf(environment);
  return {
    cache: hubCache(environment),
    endpoint,
    token: tokenOf(environment),
    offline: offlineReason(environment, mayConnect(new URL(endpoint).host)),
    symlinks: !isTrue(environment["HF_HUB_DISABLE_SYMLINKS"]),
    metadataTimeout: timeout(environment, "HF_HUB_ETAG_TIMEOUT"),
    downloadTimeout: timeout(environment, "HF_HUB_DOWNLOAD_TIMEOUT"),
  };
}

/** Absolute path of the cache: `HF_HUB_CACHE`, else `hub` in the folder of `HF_HOME`. */
export function hubCache(environment: Environment): string {
  const chosen = environment["HF_HUB_CACHE"] || environment["HUGGINGFACE_HUB_CACHE"];
  return chosen ? expand(chosen, environment) : join(hubHome(environment), "hub");
}

/** Where the token is kept that `hf auth login` writes. */
export function tokenPath(environment: Environment): string {
  const chosen = environment["HF_TOKEN_PATH"];
  return chosen ? expand(chosen, environment) : join(hubHome(environment), "token");
}

function hubHome(environment: Environment): string {
  const chosen = environment["HF_HOME"];
  if (chosen) return expand(chosen, environment);
  const caches = environment["XDG_CACHE_HOME"] || join(homeOf(environment), ".cache");
  return join(expand(caches, environment), "huggingface");
}

function homeOf(environment: Environment): string {
  return environment["HOME"] || environment["USERPROFILE"] || homedir();
}

/** `~` and `$NAME`, as the library of Python replaces them. */
function expand(path: string, environment: Environment): string {
  const home = homeOf(environment);
  const full = path.replace(/^~(?=[/\\]|$)/, () => home)
    .replace(
      /\$(?:\{(\w+)\}|(\w+))/g,
      (written, braced, plain) => environment[braced ?? plain] ?? written,
    );
  return isAbsolute(full) ? full : resolve(full);
}

function endpointOf(environment: Environment): string {
  const text = (environment["HF_ENDPOINT"] || DEFAULT_ENDPOINT).replace(/\/+$/, "");
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new UserError(`HF_ENDPOINT is "${text}": wanted an address such as ${DEFAULT_ENDPOINT}`);
  }
  // It would show wherever the address of the Hub does.
  if (url.username !== "" || url.password !== "") {
    throw new UserError(
      `HF_ENDPOINT (${url.host}) holds a user name or a password: take them out and set HF_TOKEN`,
    );
  }
  return text;
}

function tokenOf(environment: Environment): Token | null {
  if (isTrue(environment["HF_HUB_DISABLE_IMPLICIT_TOKEN"])) return null;
  for (const name of ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]) {
    const value = environment[name]?.trim();
    if (value) return checkedToken(value, name);
  }
  const path = tokenPath(environment);
  let text: string;
  try {
    text = Deno.readTextFileSync(path).trim();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return null;
    }
    throw new UserError(
      `The token file ${path} cannot be read (${(error as Error).name}): mend it, or set HF_TOKEN`,
    );
  }
  return text === "" ? null : checkedToken(text, path);
}

/** An error of `fetch` about an impossible header would quote it. */
function checkedToken(value: string, source: string): Token {
  if (/^[\x21-\x7e]+$/.test(value)) return new Token(value, source);
  throw new UserError(`The token of ${source} holds spaces or characters that no token has`);
}

function offlineReason(environment: Environment, mayConnect: boolean): string | null {
  for (const name of ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]) {
    if (isTrue(environment[name])) return `${name} is set`;
  }
  return mayConnect ? null : "this process has no permission for the network (--allow-net)";
}

function timeout(environment: Environment, name: string): number {
  const text = environment[name];
  const seconds = text ? Number(text) : DEFAULT_TIMEOUT;
  if (seconds > 0 && Number.isFinite(seconds)) return seconds * 1000;
  throw new UserError(`${name} is "${text}": wanted seconds, a number above 0`);
}

function isTrue(value: string | undefined): boolean {
  return ["1", "ON", "YES", "TRUE"].includes(value?.toUpperCase() ?? "");
}

function hasPermission(host: string): boolean {
  return Deno.permissions.querySync({ name: "net", host }).state === "granted";
}
