/**
 * Requests to the Hub: who sees the token, how redirects are followed, and which failures may pass.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import type { Clock } from "./clock.ts";
import { Watchdog } from "./clock.ts";
import { requestedPause, retrying, TransferFault } from "./retry.ts";
import type { HubSettings } from "./settings.ts";

/** More than any real chain: the Hub, its CDN, a renamed repository. */
const MOST_REDIRECTS = 8;

/** Answers that say "later": timeouts, rate limits, servers and gateways in trouble. */
const PASSING_STATUS: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);

/** Bytes of a refusal's text that are looked at. */
const MOST_EXPLANATION = 500;

/** What decides how requests are made. */
export interface HttpOptions {
  /** Endpoint, token, timeouts. */
  readonly settings: HubSettings;
  /** Measures pauses and silence. */
  readonly clock: Clock;
  /** Draws from [0, 1), for pauses between attempts. */
  readonly random: () => number;
  /** Ends all requests. */
  readonly signal?: AbortSignal;
  /** Told of every fault that is tried again. */
  readonly notice?: (text: string) => void;
}

/** A request. */
export interface HttpRequest {
  /** Default GET. */
  readonly method?: string;
  /** Besides those that all requests have. */
  readonly headers?: HeadersInit;
  /** Text, so that it can be sent again after a redirect. */
  readonly body?: string;
}

/** An answer whose body is still to be read. */
export interface HttpAnswer {
  /** With a status of success. */
  readonly response: Response;
  /** Where it came from after all redirects. */
  readonly url: URL;
}

/** The server understood and said no. */
export class Refusal extends Error {
  /** HTTP status. */
  readonly status: number;
  /** `X-Error-Code` ("GatedRepo"), or empty. */
  readonly code: string;
  /** What the server says in words, without the token; may be empty. */
  readonly explanation: string;
  /** Whether it was the Hub itself, not a CDN that it sent us to. */
  readonly fromHub: boolean;

  /** See the fields. */
  constructor(status: number, code: string, explanation: string, fromHub: boolean) {
    super(`answered ${status}`);
    this.status = status;
    this.code = code;
    this.explanation = explanation;
    this.fromHub = fromHub;
  }
}

/** Makes requests with the settings of one user. */
export class HubHttp {
  /** As given. */
  readonly options: HttpOptions;
  readonly #origin: string;

  /** Connects to nothing yet. */
  constructor(options: HttpOptions) {
    this.options = options;
    this.#origin = new URL(options.settings.endpoint).origin;
  }

  /** Host of the Hub, for messages. */
  get host(): string {
    return new URL(this.#origin).host;
  }

  /**
   * One request, with redirects followed. The token goes to the Hub's own origin only: addresses of
   * CDNs carry signatures of their own, and no other host is to be trusted with it.
   *
   * @throws {TransferFault} If the host cannot be reached, or says that it cannot answer now.
   * @throws {Refusal} If it says no.
   */
  async send(address: string, request: HttpRequest, watchdog: Watchdog): Promise<HttpAnswer> {
    const { token } = this.options.settings;
    let url = new URL(address);
    for (let hop = 0; hop <= MOST_REDIRECTS; hop++) {
      const headers = new Headers(request.headers);
      if (token !== null && url.origin === this.#origin) {
        headers.set("authorization", token.authorization);
      }
      // As it lies there: ranges and sizes count the bytes of the file, not of a compressed form.
      headers.set("accept-encoding", "identity");
      headers.set("user-agent", `equipoise; deno/${Deno.version.deno}`);
      const response = await this.#guard(url.host, watchdog, () =>
        fetch(url, {
          method: request.method ?? "GET",
          headers,
          ...(request.body === undefined ? {} : { body: request.body }),
          redirect: "manual",
          signal: watchdog.signal,
        }));
      watchdog.feed();
      const location = response.headers.get("location");
      if (response.status < 300 || response.status >= 400 || location === null) {
        await this.#check(response, url, watchdog);
        return { response, url };
      }
      await response.body?.cancel();
      const next = URL.parse(location, url);
      if (next === null || !/^https?:$/.test(next.protocol)) {
        throw new TransferFault(`${url.host} redirects to no address`);
      }
      if (url.protocol === "https:" && next.protocol === "http:") {
        throw new TransferFault(`${url.host} redirects to ${next.host} without encryption`);
      }
      url = next;
    }
    throw new TransferFault(`${url.host} redirects in a circle`);
  }

  /**
   * A request for metadata, repeated while failures may pass; the body is read already.
   *
   * @param attempts See {@linkcode retrying}.
   * @throws {TransferFault | Refusal} As {@linkcode send}, after the last attempt.
   */
  async json(address: string, request: HttpRequest, attempts?: number): Promise<Response> {
    const { clock, settings, signal } = this.options;
    return await retrying(async () => {
      using watchdog = new Watchdog(clock, settings.metadataTimeout, signal);
      const { response, url } = await this.send(address, request, watchdog);
      const body = await this.#guard(url.host, watchdog, () => response.arrayBuffer());
      return new Response(body, { status: response.status, headers: response.headers });
    }, { ...this.options, ...(attempts === undefined ? {} : { attempts }) });
  }

  /** The next piece of a body; null at its end. */
  async read(
    reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>,
    { host }: URL,
    watchdog: Watchdog,
  ): Promise<Uint8Array<ArrayBuffer> | null> {
    // From now, not from the last piece: writing that to a slow disk was no silence of the server.
    watchdog.feed();
    const { done, value } = await this.#guard(host, watchdog, () => reader.read());
    return done ? null : value;
  }

  /** Errors of the network as faults whose text is safe to show. */
  async #guard<Value>(
    host: string,
    watchdog: Watchdog,
    action: () => Promise<Value>,
  ): Promise<Value> {
    try {
      return await action();
    } catch (error) {
      const { settings, signal } = this.options;
      if (watchdog.expired) throw new TransferFault(`${host} was silent for too long`);
      signal?.throwIfAborted();
      if (watchdog.signal.aborted) throw watchdog.signal.reason;
      if (error instanceof Deno.errors.NotCapable) {
        throw new UserError(
          `This process has no permission to connect to ${host}: add --allow-net to its flags`,
        );
      }
      const reason = networkReason(error);
      throw new TransferFault(
        `the connection to ${host} failed (${settings.token?.redact(reason) ?? reason})`,
      );
    }
  }

  async #check(response: Response, url: URL, watchdog: Watchdog): Promise<void> {
    const { status, headers } = response;
    if (response.ok) return;
    const fromHub = url.origin === this.#origin;
    if (PASSING_STATUS.has(status)) {
      await response.body?.cancel();
      const pause = requestedPause(headers, Date.now());
      throw new TransferFault(`${url.host} answered ${status}`, { pause });
    }
    const text = await this.#guard(url.host, watchdog, () => response.text());
    const { token } = this.options.settings;
    const explanation = explanationOf(headers, text);
    throw new Refusal(
      status,
      headers.get("x-error-code") ?? "",
      token?.redact(explanation) ?? explanation,
      fromHub,
    );
  }
}

/** In the header, else in the JSON of the body. */
function explanationOf(headers: Headers, body: string): string {
  let text = headers.get("x-error-message") ?? "";
  if (text === "") {
    try {
      const { error } = JSON.parse(body) as { error?: unknown };
      if (typeof error === "string") text = error;
    } catch {
      // A page for browsers: nothing that belongs into one sentence.
    }
  }
  return text.replace(/\s+/g, " ").replace(/https?:\/\/\S+/g, "(address)").trim()
    .replace(/[.;]$/, "").slice(0, MOST_EXPLANATION);
}

/**
 * The reason of an error of `fetch`, which it gives as the innermost cause ("error sending request for
 * url (...): client error (Connect): tcp connect error: Connection refused (os error 111)"), without
 * addresses, which may be signed.
 */
function networkReason(error: unknown): string {
  let innermost = error;
  while (innermost instanceof Error && innermost.cause instanceof Error) {
    innermost = innermost.cause;
  }
  const text = innermost instanceof Error ? innermost.message : String(innermost);
  return text
    .replace(/^.* for url \(.*?\):? ?/, "")
    .replace(/https?:\/\/\S+/g, "(address)")
    .replace(/^client error \(\w+\): /, "")
    .replace(/ \(os error \d+\)$/, "") || "no reason given";
}
