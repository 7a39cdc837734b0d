/**
 * The body of a request, of limited size.
 *
 * @module
 */

import { ApiError } from "./api_error.ts";

/** A batch of long prompts as token ids is far below. */
const MOST_BYTES = 64 << 20;

/**
 * The JSON document in the body of a request.
 *
 * @throws {ApiError} If it is too large, or not JSON.
 */
export async function readBody(request: Request): Promise<unknown> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  for await (const chunk of request.body ?? []) {
    size += chunk.length;
    if (size > MOST_BYTES) {
      throw new ApiError(
        413,
        `The request has more than ${MOST_BYTES >> 20} MiB; send fewer prompts at once`,
      );
    }
    chunks.push(chunk);
  }
  const text = await new Blob(chunks).text();
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ApiError(
      400,
      `The body is not JSON (${error instanceof Error ? error.message : ""})`,
    );
  }
}
