/** Where a program wants its sandboxes: what is said is what happens, or an error. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { connect, type SbxError } from "../../../src/index.ts";
import { contextTarget, readOptions, serverTarget } from "../../../src/library/connect-options.ts";
import { writeContexts } from "../../../src/runtime/contexts/context-file.ts";

const TOKEN = "ddo_token";

test("options that do not belong together are refused, and not left out", async () => {
  const wrong: [object, RegExp][] = [
    [{ url: "https://a.example" }, /a server needs a token/],
    [{ url: "https://a.example", token: TOKEN, context: "work" }, /context is no option for a server/],
    [{ url: "https://a.example", token: TOKEN, home: "/x" }, /home is no option for a server/],
    [{ context: "work", token: TOKEN }, /token is no option for a context/],
    [{ context: "work", settings: {} }, /settings is no option for a context/],
    [{ token: TOKEN }, /token is no option for this machine/],
    [{ url: "http://a.example", token: TOKEN }, /HTTP without TLS/],
    [{ url: "https://a.example", token: "a b" }, /that is not a token/],
    [{ url: "https://a.example", token: TOKEN, organisation: "A B" }, /cannot be the name of an organisation/],
    [{ context: "https://a.example" }, /is no context's name/],
    [{ context: "local", home: "relative" }, /must be an absolute path/],
  ];
  for (const [options, message] of wrong) {
    await assert.rejects(connect(options), (error: SbxError) => {
      assert.match(error.message, message);
      return error.code === "usage";
    });
  }
});

test("a server is what its options say", () => {
  const options = {
    url: "https://a.example:8443/",
    token: TOKEN,
    organisation: "acme",
    sandboxUrl: "https://b.example",
  };
  assert.deepEqual(serverTarget(readOptions(options)), {
    ...{ kind: "remote", name: "a-example-8443", endpoint: "https://a.example:8443", token: TOKEN },
    ...{ sandboxEndpoint: "https://b.example", organisation: "acme" },
  });
  const insecure = readOptions({ url: "http://a.example", token: TOKEN, insecureHttp: true, organisation: undefined });
  assert.equal(serverTarget(insecure).endpoint, "http://a.example");
});

test("a context is that of the command line, by its name; variables for commands are not looked at", async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), "sbx-unit-"));
  const before = { ...process.env };
  t.after(() => {
    process.env = before;
    rmSync(directory, { recursive: true, force: true });
  });
  Object.assign(process.env, { XDG_CONFIG_HOME: directory, SBX_CONTEXT: "https://b.example", SBX_TOKEN: "ddo_other" });
  const context = { endpoint: "https://a.example", sandboxEndpoint: null, organisation: null, token: TOKEN, since: 1 };
  const contexts = { work: context, out: { ...context, token: null } };
  await writeContexts(path.join(directory, "sbx", "contexts.json"), { current: "work", contexts });
  const target = await contextTarget("work");
  assert.deepEqual(target.kind === "remote" && [target.endpoint, target.token], ["https://a.example", TOKEN]);
  await assert.rejects(connect({ context: "out" }), { code: "not_authenticated" });
  await assert.rejects(connect({ context: "wrok" }), { code: "context_not_found" });
});
