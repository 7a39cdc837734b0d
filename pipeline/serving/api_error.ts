/**
 * Errors as OpenAI's API answers them, which is what its clients know to show.
 *
 * @module
 */

/** Status of an answer that is an error. */
export type ErrorStatus = 400 | 404 | 405 | 413 | 500;

/** A request that cannot be answered. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: ErrorStatus;
  /** The field of the request that is wrong; null if it is none. */
  readonly param: string | null;
  /** A name for programs ("context_length_exceeded"); null if there is none. */
  readonly code: string | null;

  constructor(
    status: ErrorStatus,
    message: string,
    { param = null, code = null }: {
      readonly param?: string | null;
      readonly code?: string | null;
    } = {},
  ) {
    super(message);
    this.status = status;
    this.param = param;
    this.code = code;
  }

  /** The JSON document of the answer. */
  toJSON(): object {
    const type = this.status === 500 ? "server_error" : "invalid_request_error";
    return { error: { message: this.message, type, param: this.param, code: this.code } };
  }
}
