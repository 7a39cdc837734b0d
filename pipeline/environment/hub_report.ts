/**
 * How the Hugging Face Hub would be used, without asking it.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import { type Environment, hubCache, hubSettings } from "../hub/settings.ts";

/** What the environment says about the Hub. */
export interface HubReport {
  /** "https://huggingface.co". */
  readonly endpoint: string;
  /** Where the token is from ("HF_TOKEN", or a file); never the token. Null for none. */
  readonly token: string | null;
  /** Folder of downloads. */
  readonly cache: string;
  /** Why the network is not used; null if it is. */
  readonly offline: string | null;
  /** What is wrong with the environment; null if nothing. */
  readonly problem: string | null;
}

/** Reads the environment as an experiment does, which has the permission for the network. */
export function examineHub(environment: Environment): HubReport {
  try {
    const { endpoint, token, cache, offline } = hubSettings(environment, () => true);
    return { endpoint, token: token?.source ?? null, cache, offline, problem: null };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const cache = hubCache(environment);
    return { endpoint: "none", token: null, cache, offline: null, problem: error.message };
  }
}
