/**
 * A process that downloads, for tests that kill it: says how many bytes are here, a line each time.
 *
 * @module
 */

import { resolveHub } from "../resolve.ts";

const { files } = await resolveHub(Deno.args[0] ?? "", {
  report: ({ done }) => console.log(done),
  notice: (text) => console.log(text),
});
console.log(`complete ${files.length}`);
