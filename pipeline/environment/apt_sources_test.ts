import assert from "node:assert/strict";
import { backportsSource, parseDeb822Sources, parseSourcesList } from "./apt_sources.ts";

const DEB822 = `# comment
Types: deb
# snapshot
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
`;

const INLINE_KEY = `Types: deb deb-src
URIs: https://mirror.example/debian
Suites: bookworm
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc=
 -----END PGP PUBLIC KEY BLOCK-----
`;

Deno.test("parseDeb822Sources() reads paragraphs and drops comments inside them", () => {
  assert.deepEqual(parseDeb822Sources(DEB822), [
    {
      types: "deb",
      uris: "http://mirror.example/debian",
      suites: "bookworm bookworm-updates",
      components: "main",
      "signed-by": "/usr/share/keyrings/debian-archive-keyring.gpg",
    },
    {
      types: "deb",
      uris: "http://mirror.example/debian-security",
      suites: "bookworm-security",
      components: "main",
    },
  ]);
});

Deno.test("parseSourcesList() reads options, several components and trailing comments", () => {
  const text = "# deb http://old.example/debian bookworm main\n" +
    "deb [arch=amd64,i386 signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib # x\n" +
    "deb-src http://mirror.example/debian bookworm main\n\n";
  assert.deepEqual(parseSourcesList(text), [
    {
      architectures: "amd64 i386",
      "signed-by": "/k.gpg",
      types: "deb",
      uris: "http://mirror.example/debian",
      suites: "bookworm",
      components: "main contrib",
    },
    {
      types: "deb-src",
      uris: "http://mirror.example/debian",
      suites: "bookworm",
      components: "main",
    },
  ]);
});

Deno.test("backportsSource() keeps mirror and key of the release", () => {
  assert.equal(
    backportsSource(parseDeb822Sources(DEB822), "bookworm"),
    "types: deb\nuris: http://mirror.example/debian\nsuites: bookworm-backports\n" +
      "components: main\nsigned-by: /usr/share/keyrings/debian-archive-keyring.gpg\n",
  );
});

Deno.test("backportsSource() keeps an inline key with its indentation", () => {
  const entry = backportsSource(parseDeb822Sources(INLINE_KEY), "bookworm");
  assert.match(
    entry ?? "",
    /signed-by: ?\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n \.\n abc=\n -----END/,
  );
  assert.match(entry ?? "", /^types: deb$/m);
  assert.match(entry ?? "", /^components: main$/m);
});

Deno.test("backportsSource() adds nothing where the backports are among the sources", () => {
  const sources = parseSourcesList(
    "deb http://m.example/debian bookworm main\ndeb http://m.example/debian bookworm-backports main",
  );
  assert.equal(backportsSource(sources, "bookworm"), "");
});

Deno.test("backportsSource() is null without an enabled binary source of the release", () => {
  const disabled = DEB822.replace("Types: deb\n", "Types: deb\nEnabled: no\n");
  assert.equal(backportsSource(parseDeb822Sources(disabled), "bookworm"), null);
  assert.equal(backportsSource(parseDeb822Sources(DEB822), "trixie"), null);
  assert.equal(
    backportsSource(parseSourcesList("deb-src http://m.example/debian bookworm main"), "bookworm"),
    null,
  );
});
