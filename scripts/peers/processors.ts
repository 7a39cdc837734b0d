/**
 * Which processors the compared programs run on.
 *
 * @module
 */

/**
 * The last `count` processors that this process may use, since the first serve most interrupts; null
 * where there is no `taskset` (Linux) to ask.
 */
export async function lastProcessors(count: number): Promise<readonly number[] | null> {
  try {
    const args = ["--cpu-list", "--pid", String(Deno.pid)];
    const { stdout } = await new Deno.Command("taskset", { args, stderr: "null" }).output();
    // "pid 1234's current affinity list: 0,1"
    const list = /:\s*([\d,-]+)\s*$/.exec(new TextDecoder().decode(stdout))?.[1];
    return list === undefined ? null : parseProcessors(list).slice(-count);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** "0-2,5" as 0, 1, 2, 5. */
export function parseProcessors(list: string): number[] {
  return list.split(",").flatMap((part) => {
    const [first = NaN, last = first] = part.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}
