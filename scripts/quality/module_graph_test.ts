import assert from "node:assert/strict";
import { findCycle, importsOf } from "./module_graph.ts";

Deno.test("importsOf() finds every form of import and resolves it", () => {
  const text = `/** import { no } from "./comment.ts"; */
import "./side_effect.ts";
import type { A } from "../types.ts";
import {
  b,
  type C,
} from "./several_lines.ts";
import d from "../deno.json" with { type: "json" };
import { z } from "zod";
export * from "./star.ts";
export { e } from "./named.ts";
export const from = "./string.ts";
// import { no } from "./line.ts";
const f = await import("./dynamic.ts");
import { b as again } from "./several_lines.ts";
`;
  assert.deepEqual(importsOf("x/y/z.ts", text), [
    "x/y/side_effect.ts",
    "x/types.ts",
    "x/y/several_lines.ts",
    "x/y/star.ts",
    "x/y/named.ts",
    "x/y/dynamic.ts",
  ]);
});

Deno.test("findCycle() returns the circle alone, and null where there is none", () => {
  const edges = (text: string) =>
    new Map(
      text.split(" ").map((pair) => {
        const [from = "", to = ""] = pair.split(">");
        return [from, to.split("").filter(Boolean)] as const;
      }),
    );
  assert.equal(findCycle(edges("a>bc b>d c>d d>")), null);
  assert.deepEqual(findCycle(edges("a>b b>cd c>b d>")), ["b", "c", "b"]);
  assert.deepEqual(findCycle(edges("a>a")), ["a", "a"]);
});
