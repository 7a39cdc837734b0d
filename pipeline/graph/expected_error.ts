/**
 * Errors that are shown as they are, and errors that are defects.
 *
 * @module
 */

import { DeviceError } from "../../kernels/device.ts";
import { UserError } from "../errors.ts";
import { ConfigurationError } from "./experiment.ts";

/**
 * Whether an error's message is all that a person needs: mistakes in files, data or the command line,
 * and devices that are missing or too small. Everything else is shown with its stack trace.
 */
export function isExpected(error: unknown): boolean {
  return error instanceof UserError || error instanceof ConfigurationError ||
    error instanceof DeviceError;
}
