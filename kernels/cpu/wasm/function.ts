/**
 * Builds the body of one WebAssembly function: locals, assignments, loops, branches and calls.
 *
 * @module
 */

import { type Bytes, unsigned } from "./encoding.ts";
import {
  type Expression,
  i32,
  type Operand,
  type Statement,
  toExpression,
  type ValueType,
} from "./expression.ts";

/** Codes of types in the binary format (core specification, section 5.3). */
export const TYPE_CODE: Readonly<Record<ValueType, number>> = {
  i32: 0x7f,
  i64: 0x7e,
  f32: 0x7d,
  f64: 0x7c,
  v128: 0x7b,
};

/** A variable of a function; as an expression it is its current value. */
export interface Local<T extends ValueType = ValueType> extends Expression<T> {
  readonly index: number;
}

/** A function of the module that bodies may call. */
export interface Callee {
  readonly index: number;
  readonly parameters: readonly ValueType[];
  readonly result: ValueType | null;
}

/** Collects the code of one function. */
export class FunctionBuilder {
  readonly #parameters: readonly ValueType[];
  readonly #locals: ValueType[] = [];
  #code: number[] = [];

  constructor(parameters: readonly ValueType[]) {
    this.#parameters = parameters;
  }

  /** Parameter number `index`. */
  parameter<T extends ValueType>(index: number, type: T): Local<T> {
    if (this.#parameters[index] !== type) {
      throw new TypeError(`Parameter ${index} is ${this.#parameters[index]}, not ${type}.`);
    }
    return { type, index, code: [0x20, ...unsigned(index)] };
  }

  /** A new variable; zero before it is set, but only once per call of the function. */
  local<T extends ValueType>(type: T): Local<T> {
    const index = this.#parameters.length + this.#locals.length;
    this.#locals.push(type);
    return { type, index, code: [0x20, ...unsigned(index)] };
  }

  /** A new variable that holds the value of `expression` from here on. */
  let<T extends ValueType>(expression: Expression<T>): Local<T> {
    const local = this.local(expression.type);
    this.set(local, expression);
    return local;
  }

  /** Assigns. */
  set<T extends ValueType>(local: Local<T>, value: Operand<T>): void {
    const expression = toExpression(local.type, value);
    this.#code.push(...expression.code, 0x21, ...unsigned(local.index));
  }

  /** Runs statements: stores and the like. */
  do(...statements: Statement[]): void {
    for (const statement of statements) this.#code.push(...statement.code);
  }

  /** Computes and forgets. */
  drop(expression: Expression): void {
    this.#code.push(...expression.code, 0x1a);
  }

  /**
   * Runs `body` for `index = from, from + step, ...` while `index < to`, unsigned. `step` is
   * positive, and `to + step` must not pass 2^32. `to` is computed before every turn: pass a local
   * or a constant.
   */
  for(
    from: Operand<"i32">,
    to: Operand<"i32">,
    step: Operand<"i32">,
    body: (index: Local<"i32">) => void,
  ): void {
    const index = this.local("i32");
    this.set(index, from);
    // The test stands at the end, behind one test in front: one branch a turn instead of two.
    this.if(i32.ltU(index, to), () => {
      this.#code.push(0x03, 0x40);
      body(index);
      this.set(index, i32.add(index, step));
      this.#code.push(...i32.ltU(index, to).code, 0x0d, 0x00, 0x0b);
    });
  }

  /** Runs `body` while `condition` is not 0. */
  while(condition: Expression<"i32">, body: () => void): void {
    this.if(condition, () => {
      this.#code.push(0x03, 0x40);
      body();
      this.#code.push(...condition.code, 0x0d, 0x00, 0x0b);
    });
  }

  /** Branches. */
  if(condition: Expression<"i32">, then: () => void, otherwise?: () => void): void {
    this.#code.push(...condition.code, 0x04, 0x40);
    then();
    if (otherwise !== undefined) {
      this.#code.push(0x05);
      otherwise();
    }
    this.#code.push(0x0b);
  }

  /** Calls a function of the table, by its index, with the type that `ModuleBuilder.indirectType` gave. */
  callIndirect(type: number, index: Expression<"i32">, ...operands: Expression[]): void {
    this.#code.push(...operands.flatMap(({ code }) => code), ...index.code);
    this.#code.push(0x11, ...unsigned(type), 0x00);
  }

  /** Calls a function without a result. */
  call(callee: Callee, ...operands: Expression[]): void {
    this.#code.push(...callCode(callee, operands, null));
  }

  /** The body in the binary format, locals first (section 5.5.13). */
  build(): Bytes {
    const groups: { type: ValueType; count: number }[] = [];
    for (const type of this.#locals) {
      const last = groups.at(-1);
      if (last?.type === type) last.count++;
      else groups.push({ type, count: 1 });
    }
    const body = [
      ...unsigned(groups.length),
      ...groups.flatMap(({ type, count }) => [...unsigned(count), TYPE_CODE[type]]),
      ...this.#code,
      0x0b,
    ];
    return [...unsigned(body.length), ...body];
  }
}

/** A call as an expression. */
export function callResult<T extends ValueType>(
  callee: Callee,
  type: T,
  ...operands: Expression[]
): Expression<T> {
  return { type, code: callCode(callee, operands, type) };
}

function callCode(callee: Callee, operands: Expression[], result: ValueType | null): Bytes {
  const given = operands.map(({ type }) => type).join(", ");
  const wanted = callee.parameters.join(", ");
  if (given !== wanted || result !== callee.result) {
    throw new TypeError(
      `Function ${callee.index} takes (${wanted}) and returns ${callee.result ?? "nothing"}, ` +
        `but is called with (${given}) for ${result ?? "nothing"}.`,
    );
  }
  return [...operands.flatMap(({ code }) => code), 0x10, ...unsigned(callee.index)];
}
