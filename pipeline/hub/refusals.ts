/**
 * What to do when the Hub says no: one sentence for each way it says it.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import { Refusal } from "./http.ts";
import { type HubReference, repositoryText } from "./reference.ts";
import type { TransferFault } from "./retry.ts";
import type { HubSettings } from "./settings.ts";

/**
 * The error of a refused request. Codes are those that huggingface_hub knows (`hf_raise_for_status`).
 *
 * @param reference What was asked for.
 * @param what The same in words ("config.json of hf:org/name").
 */
export function refusalError(
  refusal: Refusal,
  reference: HubReference,
  what: string,
  settings: HubSettings,
): UserError {
  const { status, code, explanation, fromHub } = refusal;
  const repository = repositoryText(reference);
  const { token, endpoint } = settings;
  const host = new URL(endpoint).host;
  const page = `${endpoint}/${reference.type === "dataset" ? "datasets/" : ""}${reference.name}`;
  const said = explanation === "" ? "" : ` (${host}: ${explanation})`;
  if (code === "GatedRepo") {
    return new UserError(
      token === null
        ? `${repository} is gated: accept its terms at ${page}, then set HF_TOKEN to a token of ` +
          `that account (made at ${endpoint}/settings/tokens)`
        : `${repository} is gated, and the account of your token (${token.source}) has no access: ` +
          `accept its terms at ${page}, and wait if its authors have to agree${said}`,
    );
  }
  if (code === "RevisionNotFound") {
    return new UserError(
      `${repository} has no revision "${reference.revision}": see ${page}/branches for its ` +
        `branches and tags`,
    );
  }
  if (code === "EntryNotFound") return missingEntryError(reference, page);
  if (/disabled/i.test(explanation) && status === 403) {
    return new UserError(
      `${repository} was disabled by the Hub: another repository is needed${said}`,
    );
  }
  if (/invalid (credentials|user token|username or password)/i.test(explanation)) {
    return new UserError(
      `${host} does not know your token${token === null ? "" : ` (${token.source})`}: make a new ` +
        `one at ${endpoint}/settings/tokens and set HF_TOKEN`,
    );
  }
  // 401 is also the answer about names that do not exist, so that nobody learns of private ones.
  if (code === "RepoNotFound" || status === 401 || (status === 404 && fromHub)) {
    return new UserError(
      `There is no ${
        reference.type === "model" ? "model" : "data set"
      } ${repository} on ${host}, ` +
        `or it is private: check the name${otherKind(reference)}; ` +
        (token === null
          ? "if it is private, set HF_TOKEN to a token of an account that may read it"
          : `if it is private, the account of your token (${token.source}) may not read it`),
    );
  }
  if (status === 403) {
    return new UserError(
      `${host} does not let you read ${what}${said}: ` +
        (token === null
          ? "set HF_TOKEN to a token of an account that may"
          : `your token (${token.source}) lacks the permission`),
    );
  }
  return new UserError(`${host} refuses to send ${what}: it answered ${status}${said}`);
}

/** The error of a path that a repository does not have. */
export function missingEntryError(reference: HubReference, page: string): UserError {
  return new UserError(
    `${repositoryText(reference)} has nothing at "${reference.path}" in revision ` +
      `"${reference.revision}": see ${page}/tree/${encodeURIComponent(reference.revision)}`,
  );
}

/** The error of a request that failed too often. */
export function faultError(fault: TransferFault, what: string, settings: HubSettings): UserError {
  return new UserError(
    `${what} could not be had: ${settings.token?.redact(fault.message) ?? fault.message}; check ` +
      `the connection and run the same command again, or set HF_ENDPOINT to a mirror, or ` +
      `HF_HUB_OFFLINE=1 to use what is in the cache`,
  );
}

/** The address of a repository for browsers. */
export function pageOf({ type, name }: HubReference, { endpoint }: HubSettings): string {
  return `${endpoint}/${type === "dataset" ? "datasets/" : ""}${name}`;
}

function otherKind({ type, name }: HubReference): string {
  return type === "model" ? ` (a data set is written hf:datasets/${name})` : "";
}
