import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAptIndexes, pickDebianMirrors, withoutCredentials } from "../../../src/vm/image/debian-sources.ts";

const LISTED = `http://mirror.test/debian/|bookworm|main|$(SIGNED_BY)
http://mirror.test/debian/|bookworm|contrib|$(SIGNED_BY)
http://mirror.test/debian/|bookworm-updates|main|/usr/share/keyrings/k.gpg
http://mirror.test/debian-security/|bookworm-security|main|$(SIGNED_BY)
https://other.test/|nodistro|main|/usr/share/keyrings/n.gpg
`;

test("fields that an index does not have are not taken for values", () => {
  const indexes = parseAptIndexes(LISTED);
  assert.equal(indexes.length, 5);
  assert.equal(indexes[0]?.signedBy, null);
  assert.equal(indexes[2]?.signedBy, "/usr/share/keyrings/k.gpg");
});

test("Debian's own mirror and its security updates are found among others", () => {
  const picked = pickDebianMirrors(parseAptIndexes(LISTED));
  assert.equal(picked?.base.uri, "http://mirror.test/debian/");
  assert.equal(picked.security?.uri, "http://mirror.test/debian-security/");
});

test("a machine whose apt knows no Debian mirror has none", () => {
  assert.equal(pickDebianMirrors(parseAptIndexes("https://other.test/|nodistro|main|\n")), null);
  assert.equal(pickDebianMirrors(parseAptIndexes("http://archive.test/ubuntu/|noble|main|\n")), null);
  assert.equal(pickDebianMirrors(parseAptIndexes("cdrom:[Debian]/|bookworm|main|\n")), null);
});

test("user names and passwords of a mirror are not shown or stored", () => {
  assert.equal(withoutCredentials("https://me:secret@mirror.test/debian/"), "https://mirror.test/debian/");
  assert.equal(withoutCredentials("http://mirror.test/a@b/"), "http://mirror.test/a@b/");
});
