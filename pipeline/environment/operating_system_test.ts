import assert from "node:assert/strict";
import { installLine, parseOsRelease, VULKAN_PACKAGES } from "./operating_system.ts";

Deno.test("parseOsRelease() reads quoted and bare values", () => {
  assert.deepEqual(
    parseOsRelease('PRETTY_NAME="Debian"\nID=debian\nVERSION_CODENAME=bookworm\n'),
    { id: "debian", like: [], codename: "bookworm" },
  );
  assert.deepEqual(
    parseOsRelease("ID=\"linuxmint\"\nID_LIKE='ubuntu debian'\nVERSION_CODENAME=wilma\n"),
    { id: "linuxmint", like: ["ubuntu", "debian"], codename: "wilma" },
  );
  assert.deepEqual(parseOsRelease(""), { id: "linux", like: [], codename: "" });
});

Deno.test("installLine() names the system's own package manager", () => {
  const line = (id: string, like: string[], asRoot: string[] | null) =>
    installLine({ id, like, asRoot }, VULKAN_PACKAGES);
  assert.equal(
    line("linuxmint", ["ubuntu", "debian"], null),
    "sudo apt-get update && sudo apt-get install -y libvulkan1 mesa-vulkan-drivers",
  );
  assert.equal(
    line("debian", [], []),
    "apt-get update && apt-get install -y libvulkan1 mesa-vulkan-drivers",
  );
  assert.equal(
    line("rocky", ["rhel", "centos", "fedora"], null),
    "sudo dnf install -y vulkan-loader mesa-vulkan-drivers",
  );
  assert.equal(line("darwin", [], null), null);
});
