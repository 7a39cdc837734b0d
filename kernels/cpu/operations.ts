/**
 * The operations of a recording on the CPU device: shapes checked, then compiled to kernel calls.
 *
 * @module
 */

import type { Operations } from "../device.ts";
import * as shapes from "../shapes.ts";
import { attention } from "./attention.ts";
import { dequantize } from "./dequantize.ts";
import { add, copy, fill } from "./elementwise.ts";
import { linear, linearTransposed, matmul } from "./linear.ts";
import type { Recorder } from "./recording.ts";

/** Operations that append their kernel calls to `builder`. */
export function createOperations(
  builder: Recorder & { endOperation(): void },
): Operations {
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
    linear: operation(shapes.checkLinear, linear),
    linearTransposed: operation(shapes.checkLinearTransposed, linearTransposed),
    matmul: operation(shapes.checkMatmul, matmul),
    dequantize: operation(shapes.checkDequantize, dequantize),
    attention: operation(shapes.checkAttention, attention),
  } as unknown as Operations;
}
