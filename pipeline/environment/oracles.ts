/**
 * Programs that tests compare this project with: a Python that has PyTorch, NumPy, SciPy and
 * SentencePiece. Nothing but tests uses them.
 *
 * @module
 */

/** Python modules that tests import. */
export const ORACLE_MODULES = ["torch", "numpy", "scipy", "sentencepiece"] as const;

/** Debian's own Python comes second: its packages are invisible to another one in front of it. */
const PYTHONS = ["python3", "/usr/bin/python3"] as const;

/**
 * The first Python interpreter that has all the modules, or null. Needs permission to run
 * `python3` and `/usr/bin/python3`.
 */
export async function findPython(
  modules: readonly string[] = ORACLE_MODULES,
): Promise<string | null> {
  const script = "import importlib.util, sys; " +
    "sys.exit(any(importlib.util.find_spec(name) is None for name in sys.argv[1:]))";
  for (const python of PYTHONS) {
    try {
      const command = new Deno.Command(python, { args: ["-c", script, ...modules], stdin: "null" });
      if ((await command.output()).success) return python;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotCapable)) {
        throw error;
      }
    }
  }
  return null;
}
