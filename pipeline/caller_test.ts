import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { callerFolder } from "./caller.ts";

const REPOSITORY = fileURLToPath(new URL("../", import.meta.url));

Deno.test("callerFolder() is where the task was called, and only where a task has moved", () => {
  assert.equal(callerFolder(REPOSITORY, "/home/me"), "/home/me");
  assert.equal(callerFolder(REPOSITORY, undefined), REPOSITORY);
  assert.equal(callerFolder("/elsewhere", "/home/me"), "/elsewhere");
});
