/** Accounts of the guest for SSH: /etc/passwd is the guest's, and may hold anything. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAccount } from "../../../src/supervisor/ssh/accounts.ts";

const PASSWD = [
  "root:x:0:0:root:/root:/bin/bash",
  "short:x:1:1",
  "app:x:1000:1000::/home/app:/bin/zsh",
  "app:x:1001:1001::/elsewhere:/bin/sh",
  "bare:x:1002:1002:::",
  "odd:x:1003:1003::relative/home:not/a/shell",
  "",
].join("\n");

test("an account has the home and shell of its first whole line", () => {
  assert.deepEqual(parseAccount(PASSWD, "root"), { name: "root", home: "/root", shell: "/bin/bash" });
  assert.deepEqual(parseAccount(PASSWD, "app"), { name: "app", home: "/home/app", shell: "/bin/zsh" });
});

test("what is missing or makes no sense becomes the root directory and sh", () => {
  for (const name of ["bare", "odd"]) {
    assert.deepEqual(parseAccount(PASSWD, name), { name, home: "/", shell: "/bin/sh" });
  }
});

test("names that are not there, are cut short, or are no names are no accounts", () => {
  for (const name of ["nobody", "short", "", "ap", "app:x", "root\nx"]) {
    assert.equal(parseAccount(PASSWD, name), undefined, name);
  }
});
