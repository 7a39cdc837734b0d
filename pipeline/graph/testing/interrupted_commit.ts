/**
 * A process that begins to commit a result and dies at the rename.
 *
 * @module
 */

import { join } from "node:path";
import type { Manifest } from "../manifest.ts";
import { Store } from "../store.ts";

const [folder = "", key = "", record = ""] = Deno.args;
const store = await Store.open(folder);
await store.lock(key);
const workspace = await store.begin(key);
await Deno.writeTextFile(join(workspace.folder, "values.txt"), "half");
await Deno.writeTextFile(join(workspace.checkpoint, "state.txt"), "step 1");
Deno.rename = () => {
  Deno.kill(Deno.pid, "SIGKILL");
  return new Promise(() => {});
};
await store.commit(workspace, JSON.parse(record) as Omit<Manifest, "files">);
