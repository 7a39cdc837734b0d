/**
 * The operations of a recording on the CPU device: shapes checked, then compiled to kernel calls.
 *
 * @module
 */

import type { Operations } from "../device.ts";
import * as shapes from "../shapes.ts";
import { add, copy, fill } from "./elementwise.ts";
import type { Recorder, RecordingBuilder } from "./recording.ts";

/** Operations that append their kernel calls to `builder`. */
export function createOperations(builder: RecordingBuilder): Operations {
  /** An operation made of its shape check and its recorder. */
  function operation<Args>(
    check: (args: Args) => unknown,
    record: (recorder: Recorder, args: Args) => void,
  ): (args: Args) => void {
    return (args) => {
      check(args);
      record(builder, args);
      builder.endOperation();
    };
  }
  return {
    fill: operation(shapes.checkFill, fill),
    copy: operation(shapes.checkCopy, copy),
    add: operation(shapes.checkAdd, add),
  } as unknown as Operations;
}
