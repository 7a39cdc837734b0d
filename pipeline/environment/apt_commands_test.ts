import assert from "node:assert/strict";
import { aptAttempts, aptProblem } from "./apt_commands.ts";

const BACKPORTS = {
  parts: "/tmp/x/sources.list.d",
  lists: "/tmp/x/lists",
  release: "bookworm-backports",
};

Deno.test("aptAttempts() tries backports from private sources, then the release itself", () => {
  const packages = ["libvulkan1", "mesa-vulkan-drivers"];
  const [first, second, ...rest] = aptAttempts(packages, {
    codename: "bookworm",
    asRoot: [],
    backports: BACKPORTS,
    fromBackports: ["mesa-vulkan-drivers"],
  });
  assert.deepEqual(rest, []);
  assert.equal(first?.release, "bookworm-backports");
  for (const command of [first?.update ?? [], first?.install ?? []]) {
    assert.ok(command.includes("Dir::Etc::SourceParts=/tmp/x/sources.list.d"));
    assert.ok(command.includes("Dir::State::Lists=/tmp/x/lists"));
  }
  assert.deepEqual(first?.install.slice(-2), [
    "libvulkan1",
    "mesa-vulkan-drivers/bookworm-backports",
  ]);
  assert.equal(second?.release, "bookworm");
  assert.ok(!second?.install.some((word) => word.includes("Dir::") || word.includes("target")));
  assert.deepEqual(second?.install.slice(-2), packages);
});

Deno.test("aptAttempts() asks for no confirmation, no extras and no removal", () => {
  for (
    const { install } of aptAttempts(["p"], {
      codename: "c",
      asRoot: [],
      backports: BACKPORTS,
      fromBackports: ["p"],
    })
  ) {
    assert.equal(install[0], "apt-get");
    for (const word of ["--yes", "--no-install-recommends", "--no-remove"]) {
      assert.ok(install.includes(word), word);
    }
  }
});

Deno.test("aptAttempts() runs everything through sudo where that is the way to root", () => {
  const attempts = aptAttempts(["p"], {
    codename: "c",
    asRoot: ["sudo", "-n"],
    backports: BACKPORTS,
    fromBackports: ["mesa-vulkan-drivers"],
  });
  for (const command of attempts.flatMap(({ update, install }) => [update, install])) {
    assert.deepEqual(command.slice(0, 6), [
      "sudo",
      "-n",
      "env",
      "DEBIAN_FRONTEND=noninteractive",
      "LC_ALL=C.UTF-8",
      "apt-get",
    ]);
  }
});

Deno.test("aptProblem() quotes apt's errors, else its last line", () => {
  assert.equal(
    aptProblem(
      "Reading package lists...\nW: odd\nE: Unable to locate package nosuch\n" +
        "E: Unable to locate package nosuch\nE: Couldn't find it\n",
    ),
    "Unable to locate package nosuch; Couldn't find it",
  );
  assert.equal(
    aptProblem(
      "Err:1 http://m.example x InRelease\n" +
        "W: Failed to fetch http://m.example/x/InRelease  Could not connect to m.example:80\n" +
        "W: Failed to fetch http://m.example/y/InRelease  Could not connect to m.example:80\n" +
        "W: Some index files failed to download.\nE: Unable to locate package p\n",
    ),
    "Failed to fetch http://m.example/x/InRelease Could not connect to m.example:80; " +
      "Unable to locate package p",
  );
  assert.equal(aptProblem("Reading...\nKilled\n\n"), "Killed");
  assert.equal(aptProblem(""), "it printed nothing");
});
