/**
 * The one kind of error that is not a defect of the program.
 *
 * @module
 */

/** A mistake of the user or of the data: shown as one sentence, without a stack trace. */
export class UserError extends Error {
  /** Fixed, so that the class survives a message between processes. */
  override readonly name: string = "UserError";
}
