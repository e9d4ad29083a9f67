/** Which hosts an image's package managers fetch from, read from what they print about themselves. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { hostsIn } from "../../../src/vm/image/registries.ts";

const hosts = (text: string): string[] => hostsIn("tool", text).map(({ host }) => host);

test("each host is found once, in the order of the text", () => {
  const list = `
    deb [signed-by=/usr/share/keyrings/x.gpg] http://mirror.example.org/debian trixie main
    deb https://security.example.org:8443/debian-security trixie-security main
    deb http://mirror.example.org/debian trixie-updates main`;
  assert.deepEqual(hosts(list), ["mirror.example.org", "security.example.org"]);
});

test("lists of proxies and quoted addresses are read, words that are no address are not", () => {
  assert.deepEqual(hosts("https://go.example.com,direct\n"), ["go.example.com"]);
  assert.deepEqual(hosts("'https://go.example.com|https://two.example.com'"), ["go.example.com", "two.example.com"]);
  assert.deepEqual(hosts("undefined\nfile:///srv/packages\nhttp://localhost/\nhttp://10.0.0.1:99999/\n"), []);
});

test("a program cannot name more hosts than a few", () => {
  const many = Array.from({ length: 50 }, (_, index) => `https://h${index}.example.com/`).join("\n");
  assert.equal(hosts(many).length, 8);
});
