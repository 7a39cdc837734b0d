/**
 * One commit for each revision, however many references name it.
 *
 * @module
 */

import { isHubReference, parseHubReference, repositoryText, withRevision } from "./reference.ts";
import { checkHub, type HubOptions, resolveCommit, resolveHub } from "./resolve.ts";

/** The commits of one plan: a branch that moves meanwhile does not tear it apart. */
export class HubPins {
  readonly #options: HubOptions;
  readonly #commits = new Map<string, Promise<string>>();

  /** Asks nobody yet. */
  constructor(options: HubOptions = {}) {
    this.#options = options;
  }

  /**
   * Finds out whether a reference stands for something; nothing is downloaded.
   *
   * @throws {UserError} As `resolveHub`.
   */
  async check(text: string): Promise<void> {
    await checkHub(await this.#pinned(text), this.#options);
  }

  /**
   * The reference with the commit that its revision stands for, whose files are then in the cache;
   * null for a reference that is not to the Hub.
   *
   * @throws {UserError} As `resolveHub`.
   */
  async pin(text: string): Promise<string | null> {
    if (!isHubReference(text)) return null;
    const pinned = await this.#pinned(text);
    await resolveHub(pinned, this.#options);
    return pinned;
  }

  async #pinned(text: string): Promise<string> {
    const reference = parseHubReference(text);
    const branch = `${repositoryText(reference)}@${reference.revision}`;
    const commit = this.#commits.get(branch) ?? resolveCommit(text, this.#options);
    this.#commits.set(branch, commit);
    return withRevision(reference, await commit).text;
  }
}
