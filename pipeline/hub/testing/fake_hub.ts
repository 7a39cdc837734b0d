/**
 * A Hub on loopback that speaks the API of the real one over real connections: information on
 * revisions, lists of files in pages, contents with ranges and ETags, redirects to a CDN of another
 * origin, refusals with their codes; and it fails as it is told to.
 *
 * @module
 */

import type { FakeFile, FakeRepository } from "./fake_repository.ts";

/** The token that opens gated and private repositories. */
export const FAKE_TOKEN = "hf_fAkEtOkEnOfTeStS0123456789";

/** A request as it arrived. */
export interface SeenRequest {
  readonly host: "hub" | "cdn";
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly authorization: string | null;
  readonly range: string | null;
  readonly ifRange: string | null;
}

/** A way to fail. */
export type Fault =
  /** Answers with a status, instead. */
  | { readonly kind: "status"; readonly status: number; readonly headers?: Record<string, string> }
  /** Ends the connection after so many bytes of the body. */
  | { readonly kind: "cut"; readonly bytes: number }
  /** Sends nothing until it is told to; `stalled` is called when it begins to. */
  | { readonly kind: "stall"; readonly stalled: () => void }
  /** Sends so many bytes, then nothing more. */
  | { readonly kind: "hang"; readonly bytes: number; readonly stalled: () => void }
  /** Sends this in place of the file or of the JSON. */
  | {
    readonly kind: "content";
    readonly content: Uint8Array<ArrayBuffer>;
    /** Without saying how much it is. */
    readonly unmeasured?: boolean;
  }
  /** Sends the whole file where a range was asked for. */
  | { readonly kind: "no ranges" }
  /** Sends another range than the one that was asked for. */
  | { readonly kind: "other range" }
  /** Redirects elsewhere. */
  | { readonly kind: "redirect"; readonly location: string };

interface PlannedFault {
  readonly pattern: RegExp;
  readonly fault: Fault;
  left: number;
}

/** Files in a page of a list, few, so that lists have several. */
const PAGE = 3;

/** "models/org/name/tree/revision/folder"; in a revision, slashes are escaped, and decoded by now. */
const API = new RegExp(
  "^((?:models|datasets)/[^/]+/[^/]+)/(revision|tree|paths-info)" +
    "/(refs/convert/\\w+|refs/pr/\\d+|[^/]+)/?(.*)$",
);

/** The running servers. */
export class FakeHub implements AsyncDisposable {
  /** Everything that was asked, in order. */
  readonly requests: SeenRequest[] = [];
  readonly #repositories = new Map<string, FakeRepository>();
  readonly #faults: PlannedFault[] = [];
  readonly #stalls = new AbortController();
  readonly #hub: Deno.HttpServer<Deno.NetAddr>;
  readonly #cdn: Deno.HttpServer<Deno.NetAddr>;

  /** Starts listening, on ports that are free. */
  constructor(...repositories: readonly FakeRepository[]) {
    this.set(...repositories);
    const listen = (host: SeenRequest["host"]) =>
      Deno.serve(
        { port: 0, hostname: "127.0.0.1", onListen: () => {} },
        (request) => this.#answer(host, request),
      );
    this.#hub = listen("hub");
    this.#cdn = listen("cdn");
  }

  /** For `HF_ENDPOINT`. */
  get endpoint(): string {
    return `http://127.0.0.1:${this.#hub.addr.port}`;
  }

  /** Where large files are. */
  get cdn(): string {
    return `http://127.0.0.1:${this.#cdn.addr.port}`;
  }

  /** Adds repositories, or replaces them by a new commit. */
  set(...repositories: readonly FakeRepository[]): void {
    for (const repository of repositories) this.#repositories.set(repository.id, repository);
  }

  /** Makes the next requests whose "host path" matches fail, `times` of them. */
  fail(pattern: RegExp, fault: Fault, times = 1): void {
    this.#faults.push({ pattern, fault, left: times });
  }

  /** Planned faults that nobody met. */
  get unmet(): number {
    return this.#faults.reduce((sum, { left }) => sum + left, 0);
  }

  /** The requests whose "host path" matches. */
  seen(pattern: RegExp): SeenRequest[] {
    return this.requests.filter(({ host, path }) => pattern.test(`${host} ${path}`));
  }

  /** Stops listening, and ends what is stalled. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stalls.abort();
    await Promise.all([this.#hub.shutdown(), this.#cdn.shutdown()]);
  }

  async #answer(host: SeenRequest["host"], request: Request): Promise<Response> {
    const { pathname, search } = new URL(request.url);
    const { method, headers } = request;
    this.requests.push({
      host,
      method,
      path: pathname + search,
      authorization: headers.get("authorization"),
      range: headers.get("range"),
      ifRange: headers.get("if-range"),
    });
    const planned = this.#faults.find(({ pattern, left }) =>
      left > 0 && pattern.test(`${host} ${pathname}${search}`)
    );
    if (planned !== undefined) planned.left--;
    const fault = planned?.fault ?? null;
    switch (fault?.kind) {
      case "status":
        return new Response("<html>failed</html>", {
          status: fault.status,
          ...(fault.headers ? { headers: fault.headers } : {}),
        });
      case "redirect":
        return new Response(null, { status: 307, headers: { location: fault.location } });
      case "stall":
        fault.stalled();
        await new Promise((resolve) => this.#stalls.signal.addEventListener("abort", resolve));
        return new Response(null, { status: 500 });
    }
    const path = decodeURIComponent(pathname);
    if (host === "cdn") return this.#blob(path.slice("/lfs/".length), request, fault);
    if (path.startsWith("/api/")) {
      return await this.#api(path.slice("/api/".length), request, fault);
    }
    return this.#resolve(path, request, fault);
  }

  async #api(path: string, request: Request, fault: Fault | null): Promise<Response> {
    const [, id = "", call = "", revision = "", folder = ""] = API.exec(path) ?? [];
    const repository = this.#repositories.get(id);
    const refused = this.#refuse(repository, request, "api");
    if (refused !== null || repository === undefined) {
      return refused ?? refusal(404, "RepoNotFound");
    }
    if (!repository.has(revision)) return refusal(404, "RevisionNotFound");
    switch (call) {
      case "revision":
        return json(
          { _id: "0", id: repository.name, sha: repository.commit, private: false, gated: false },
          fault,
        );
      case "tree": {
        const url = new URL(request.url);
        const recursive = url.searchParams.get("recursive") === "true";
        const entries = repository.entries(folder, recursive);
        const start = Number(url.searchParams.get("cursor") ?? 0);
        const headers = new Headers();
        if (start + PAGE < entries.length) {
          url.searchParams.set("cursor", String(start + PAGE));
          headers.set("link", `<${this.endpoint}${url.pathname}${url.search}>; rel="next"`);
        }
        return json(entries.slice(start, start + PAGE), fault, headers);
      }
      default: {
        const { paths } = await request.json() as { paths: string[] };
        return json(
          paths.flatMap((asked) => repository.entry(asked) ?? []),
          fault,
        );
      }
    }
  }

  #resolve(path: string, request: Request, fault: Fault | null): Response {
    const [, prefix = "", name = "", revision = "", file = ""] =
      /^\/(datasets\/)?([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.*)$/.exec(path) ?? [];
    const repository = this.#repositories.get(`${prefix === "" ? "models/" : prefix}${name}`);
    const refused = this.#refuse(repository, request, "content");
    if (refused !== null || repository === undefined) {
      return refused ?? refusal(404, "RepoNotFound");
    }
    if (!repository.has(revision)) return refusal(404, "RevisionNotFound");
    const found = repository.file(file);
    if (found === undefined) return refusal(404, "EntryNotFound");
    const headers = { "x-repo-commit": repository.commit };
    if (found.lfs === null) return content(found, request, fault, headers, this.#stalls.signal);
    return new Response(null, {
      status: 302,
      headers: {
        ...headers,
        "x-linked-etag": `"${found.lfs}"`,
        "x-linked-size": String(found.content.length),
        location: `${this.cdn}/lfs/${found.lfs}?X-Amz-Signature=sIgNaTuRe`,
      },
    });
  }

  #blob(digest: string, request: Request, fault: Fault | null): Response {
    for (const { files } of this.#repositories.values()) {
      const file = files.find(({ lfs }) => lfs === digest);
      if (file !== undefined) return content(file, request, fault, {}, this.#stalls.signal);
    }
    return new Response("<Error><Code>AccessDenied</Code></Error>", { status: 403 });
  }

  /** What is public of a gated repository are its lists; of a private one nothing. */
  #refuse(
    repository: FakeRepository | undefined,
    request: Request,
    asked: "api" | "content",
  ): Response | null {
    const authorization = request.headers.get("authorization");
    if (authorization !== null && authorization !== `Bearer ${FAKE_TOKEN}`) {
      return refusal(401, "", "Invalid credentials in Authorization header");
    }
    const known = authorization !== null;
    const access = repository?.options.access ?? "open";
    if (repository === undefined || access === "private" && !known) {
      return refusal(known ? 404 : 401, "RepoNotFound", "Repository not found");
    }
    if (access === "gated" && !known && asked === "content") {
      return refusal(401, "GatedRepo", `Access to model ${repository.name} is restricted.`);
    }
    return null;
  }
}

function refusal(status: number, code: string, message = ""): Response {
  return Response.json({ error: message || code }, {
    status,
    headers: { ...(code ? { "x-error-code": code } : {}), "x-error-message": message || code },
  });
}

function json(value: unknown, fault: Fault | null, headers = new Headers()): Response {
  headers.set("content-type", "application/json");
  const body = fault?.kind === "content"
    ? fault.content
    : new TextEncoder().encode(JSON.stringify(value));
  if (fault?.kind !== "cut") return new Response(body, { headers });
  headers.set("content-length", String(body.length));
  return new Response(brokenBody(body, fault.bytes, null), { headers });
}

/** The content of a file as a server of files sends it (RFC 9110, 14). */
function content(
  file: FakeFile,
  request: Request,
  fault: Fault | null,
  given: Record<string, string>,
  released: AbortSignal,
): Response {
  const etag = `"${file.lfs === null ? file.oid : file.lfs.slice(0, 32)}"`;
  const bytes = fault?.kind === "content" ? fault.content : file.content;
  const asked = /^bytes=(\d+)-(\d*)$/.exec(request.headers.get("range") ?? "");
  const condition = request.headers.get("if-range");
  let start = 0;
  let end = bytes.length;
  let status = 200;
  const headers: Record<string, string> = { ...given, etag, "accept-ranges": "bytes" };
  const ranged = asked !== null && (condition === null || condition === etag);
  if (ranged && fault?.kind !== "no ranges") {
    start = Number(asked[1]);
    if (asked[2]) end = Math.min(end, Number(asked[2]) + 1);
    if (start >= bytes.length) {
      return new Response(null, {
        status: 416,
        headers: { "content-range": `bytes */${bytes.length}` },
      });
    }
    if (fault?.kind === "other range") start = Math.floor((start + bytes.length) / 2);
    status = 206;
    headers["content-range"] = `bytes ${start}-${end - 1}/${bytes.length}`;
  }
  const rest = bytes.subarray(start, end);
  if (fault?.kind === "content" && fault.unmeasured) {
    return new Response(ReadableStream.from([rest]), { status, headers });
  }
  headers["content-length"] = String(rest.length);
  if (fault?.kind === "cut") {
    return new Response(brokenBody(rest, fault.bytes, null), { status, headers });
  }
  if (fault?.kind === "hang") {
    const hang = { stalled: fault.stalled, released };
    return new Response(brokenBody(rest, fault.bytes, hang), { status, headers });
  }
  return new Response(rest, { status, headers });
}

/** A body that ends too early: the connection is closed, or stays silent until the end of the test. */
function brokenBody(
  bytes: Uint8Array<ArrayBuffer>,
  count: number,
  hang: { readonly stalled: () => void; readonly released: AbortSignal } | null,
): ReadableStream<Uint8Array> {
  let sent = false;
  let close = () => {};
  return new ReadableStream({
    pull(controller) {
      if (!sent) {
        sent = true;
        if (count > 0) return controller.enqueue(bytes.subarray(0, count));
      }
      // Shorter than its Content-Length: the server ends the connection.
      if (hang === null) return controller.close();
      close = () => controller.close();
      hang.released.addEventListener("abort", () => close());
      hang.stalled();
      return new Promise(() => {});
    },
    cancel() {
      close = () => {};
    },
  });
}
