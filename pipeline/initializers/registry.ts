/**
 * All initializers. A new one is a file in this folder and a place in this list.
 *
 * @module
 */

import type { Initializer } from "./initializer.ts";
import { zero } from "./zero.ts";

/** All initializers, by name. */
export const initializers: readonly Initializer[] = [zero];
