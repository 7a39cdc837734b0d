/**
 * Tests that need what a machine may lack: where it does, they count as skipped and say why.
 *
 * @module
 */

const folder = Deno.env.get("EQUIPOISE_TEST_DATA");

/** Folder of real models and texts; empty where there is none. */
export const TEST_DATA = folder ?? "";

/** Why tests with real data are skipped; null where there is data. */
export const NO_TEST_DATA: string | null = folder === undefined
  ? "EQUIPOISE_TEST_DATA names no folder of real models and texts"
  : null;

/** Registers a test; with something `missing` it is skipped, and its name says what is. */
export function testUnless(
  missing: string | null,
  name: string,
  test: () => void | Promise<void>,
): void {
  if (missing === null) Deno.test(name, test);
  else Deno.test.ignore(`${name} (skipped: ${missing})`, test);
}
