/** What the system's resolver is asked for. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test, type TestContext } from "node:test";
import { HostsFile } from "../../../src/egress/upstream/hosts-file.ts";
import { createSystemLookup } from "../../../src/egress/upstream/system-lookup.ts";

async function lookupWith(t: TestContext, hosts: string | null) {
  const directory = await mkdtemp(path.join(tmpdir(), "sbx-hosts-"));
  t.after(() => rm(directory, { recursive: true }));
  const hostsPath = path.join(directory, "hosts");
  const write = (text: string) => writeFile(hostsPath, text);
  if (hosts !== null) await write(hosts);
  const getAddresses = async (name: string) => [name];
  const lookup = createSystemLookup({ hosts: new HostsFile(hostsPath), getAddresses });
  return { write, asked: async (name: string) => (await lookup(name))[0] };
}

test("a name with a dot is absolute, so that the host's search list is not tried with it", async (t) => {
  const { asked } = await lookupWith(t, "127.0.0.1 localhost\n");
  assert.equal(await asked("api.example.com"), "api.example.com.");
  assert.equal(await asked("printer.local"), "printer.local.");
});

test("a single label is looked up as the host's other programs do it", async (t) => {
  const { asked } = await lookupWith(t, "");
  for (const name of ["wiki", "localhost", "app.localhost"]) assert.equal(await asked(name), name);
});

test("a name in the hosts file is asked for as it stands there, and the file may change", async (t) => {
  const { asked, write } = await lookupWith(
    t,
    "10.0.0.5\tdb.corp.example DB.Other.example # no.example\n# 10.0.0.6 off.example\n",
  );
  assert.equal(await asked("db.corp.example"), "db.corp.example");
  assert.equal(await asked("db.other.example"), "db.other.example");
  for (const name of ["no.example", "off.example", "10.0.0.5", "new.example"])
    assert.equal(await asked(name), `${name}.`);
  await write("10.0.0.5 new.example\r\n::1 six.example");
  for (const name of ["new.example", "six.example"]) assert.equal(await asked(name), name);
  assert.equal(await asked("db.corp.example"), "db.corp.example.");
});

test("without a hosts file every name with a dot is absolute", async (t) => {
  const { asked } = await lookupWith(t, null);
  assert.equal(await asked("a.example"), "a.example.");
});

test("the system's own names are found, and what does not exist is not", async () => {
  const lookup = createSystemLookup();
  assert.ok((await lookup("localhost")).some((address) => address === "127.0.0.1" || address === "::1"));
  await assert.rejects(lookup("no-such-host.invalid"), /ENOTFOUND|EAI_AGAIN/);
});
