/**
 * Which place a command works at. The rule that everything else rests on: a choice that is wrong is an error, and never
 * means another place.
 */
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test, type TestContext } from "node:test";
import { chooseContext, targetOf, type ContextWish } from "../../../src/runtime/contexts/choose-context.ts";
import { writeContexts, type StoredContext } from "../../../src/runtime/contexts/context-file.ts";
import { nameOfEndpoint, parseEndpoint, parseToken } from "../../../src/runtime/contexts/endpoint.ts";
import { SbxError, type ErrorCode } from "../../../src/runtime/errors.ts";

const TOKEN = `ddo_${"a".repeat(43)}`;

function context(overrides: Partial<StoredContext> = {}): StoredContext {
  const endpoint = "https://sandboxes.example";
  return { endpoint, sandboxEndpoint: null, organisation: null, token: TOKEN, since: 1, ...overrides };
}

function makeFile(t: TestContext): string {
  const directory = mkdtempSync(path.join(tmpdir(), "sbx-unit-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return path.join(directory, "sbx", "contexts.json");
}

async function withContexts(t: TestContext, current = "work"): Promise<string> {
  const filePath = makeFile(t);
  const other = context({ endpoint: "https://other.example", token: null, organisation: "acme" });
  await writeContexts(filePath, { current, contexts: { work: context(), other } });
  return filePath;
}

async function refusal(wish: ContextWish): Promise<{ code: ErrorCode; exit: number; text: string }> {
  try {
    const chosen = await chooseContext(wish);
    targetOf(chosen);
  } catch (error) {
    if (error instanceof SbxError) {
      return { code: error.code, exit: error.exitCode, text: `${error.message} ${error.hint ?? ""}` };
    }
    throw error;
  }
  throw new Error("nothing was refused");
}

test("without a file and without a word about it, it is this machine", async (t) => {
  const chosen = await chooseContext({ env: {}, filePath: makeFile(t) });
  assert.deepEqual([chosen.name, chosen.source, targetOf(chosen).kind], ["local", "default", "local"]);
});

test("the option goes before SBX_CONTEXT, that before the file; local is a choice like any other", async (t) => {
  const filePath = await withContexts(t);
  const name = async (env: Record<string, string>, named?: string): Promise<string> =>
    (await chooseContext({ env, filePath, named })).name;
  assert.equal(await name({}), "work");
  assert.equal(await name({ SBX_CONTEXT: "" }), "work");
  assert.equal(await name({ SBX_CONTEXT: "other" }), "other");
  assert.equal(await name({ SBX_CONTEXT: "other" }, "work"), "work");
  assert.equal(await name({ SBX_CONTEXT: "local" }), "local");
  assert.equal(await name({ SBX_CONTEXT: "other" }, "local"), "local");
});

test("a name that is not known is refused with exit status 2, wherever it comes from", async (t) => {
  const filePath = await withContexts(t);
  for (const wish of [{ env: { SBX_CONTEXT: "wrok" } }, { env: {}, named: "wrok" }, { env: {}, named: "__proto__" }]) {
    const { code, exit } = await refusal({ filePath, ...wish });
    assert.deepEqual([code, exit], ["context_not_found", 2]);
  }
  const { text } = await refusal({ filePath, env: { SBX_CONTEXT: "wrok" } });
  assert.match(text, /"wrok", which SBX_CONTEXT names sbx context list/);
});

test("a context without a token is a failed authentication, with exit status 4", async (t) => {
  const filePath = await withContexts(t, "other");
  const { code, exit, text } = await refusal({ filePath, env: {} });
  assert.deepEqual([code, exit], ["not_authenticated", 4]);
  assert.match(text, /there is no token for https:\/\/other\.example sbx login https:\/\/other\.example/);
});

test("an address and SBX_TOKEN need no file", async (t) => {
  const env = { SBX_CONTEXT: "https://ci.example:8443/", SBX_TOKEN: TOKEN, SBX_ORG: "acme" };
  const target = targetOf(await chooseContext({ env, filePath: makeFile(t) }));
  assert.deepEqual(target, {
    kind: "remote",
    name: "ci-example-8443",
    endpoint: "https://ci.example:8443",
    sandboxEndpoint: null,
    organisation: "acme",
    token: TOKEN,
  });
  const { code } = await refusal({ filePath: makeFile(t), env: { SBX_CONTEXT: "https://ci.example" } });
  assert.equal(code, "not_authenticated");
});

test("SBX_TOKEN goes to the server that SBX_CONTEXT names, and to no other", async (t) => {
  const filePath = await withContexts(t);
  const token = async (env: Record<string, string>, named?: string): Promise<string | null> =>
    (await chooseContext({ env: { SBX_TOKEN: "ddo_env", ...env }, filePath, named })).token;
  assert.equal(await token({ SBX_CONTEXT: "work" }), "ddo_env");
  assert.equal(await token({}, "work"), "ddo_env");
  // Nobody has said that it is for this one.
  assert.equal(await token({}), TOKEN);
  assert.equal(await token({ SBX_CONTEXT: "https://ci.example" }, "work"), TOKEN);
  assert.equal(await token({ SBX_CONTEXT: "https://ci.example" }, "https://evil.example"), null);
});

test("addresses are origins, with TLS unless they are of this machine", () => {
  const good = {
    "https://a.example": "https://a.example",
    "HTTPS://A.example:443/": "https://a.example",
    "http://127.0.0.1:8787": "http://127.0.0.1:8787",
    "http://[::1]:1": "http://[::1]:1",
    "http://localhost": "http://localhost",
  };
  for (const [text, origin] of Object.entries(good)) assert.equal(parseEndpoint(text), origin);
  const bad = [
    ...["http://a.example", "http://10.0.0.1", "http://127.0.0.1.evil.example", "http://localhost.evil.example"],
    ...["https://user:secret@a.example", "https://a.example/path", "https://a.example?x", "https://a.example#x"],
    ...[
      "ftp://a.example",
      "file:///etc",
      "https://",
      "a.example",
      "javascript://a.example",
      `https://${"a".repeat(3000)}`,
    ],
  ];
  for (const text of bad) assert.throws(() => parseEndpoint(text), { code: "usage", exitCode: 2 }, text);
  assert.equal(parseEndpoint("http://10.0.0.1", { insecure: true }), "http://10.0.0.1");
  assert.throws(
    () => parseEndpoint("https://user:secret@a.example"),
    (error: Error) => !error.message.includes("secret"),
  );
});

test("a name that is made of an address is a label of a host name, and not local", () => {
  for (const text of ["https://a.example", "http://[::1]:8787", "http://127.0.0.1:1", "https://local", "https://xn--a"])
    assert.match(nameOfEndpoint(text), /^(?!local$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, text);
});

test("what could break out of a header is no token, and is not repeated in the error", () => {
  for (const text of ["", "a b", "secret\r\nx: y", "sécret", "a".repeat(1025)])
    assert.throws(
      () => parseToken(text),
      (error: SbxError) => error.code === "usage" && (text === "" || !error.message.includes(text)),
    );
});

test("a file that others may read or that does not parse stops the command, except for a place that needs none", async (t) => {
  const filePath = await withContexts(t);
  chmodSync(filePath, 0o640);
  const { code, exit, text } = await refusal({ filePath, env: {} });
  assert.deepEqual([code, exit], ["config_invalid", 2]);
  assert.match(text, /other users may read or change it chmod 600/);
  assert.equal((await chooseContext({ filePath, env: {}, named: "local" })).name, "local");
  chmodSync(filePath, 0o600);
  const file = (value: unknown): string => JSON.stringify(value);
  const broken = [
    "",
    `{"token": "${TOKEN}"`,
    "[]",
    file({ version: 2, current: "local", contexts: {} }),
    file({ version: 1, current: "gone", contexts: {} }),
    file({ version: 1, current: "local", contexts: { local: context() } }),
    file({ version: 1, current: "local", contexts: { work: { ...context(), extra: 1 } } }),
    file({ version: 1, current: "local", contexts: { work: context({ endpoint: "https://a.example/b" }) } }),
    file({ version: 1, current: "local", contexts: { work: context({ token: "a\nb" }) } }),
    file({ version: 1, current: "local", contexts: { "../x": context() } }),
    " ".repeat(1024 ** 2 + 1),
  ];
  for (const content of broken) {
    writeFileSync(filePath, content);
    const refused = await refusal({ filePath, env: {} });
    assert.equal(refused.code, "config_invalid", content.slice(0, 100));
    assert.ok(!refused.text.includes(TOKEN));
  }
});

test("a file that cannot be reached is not a file that is missing", async (t) => {
  const filePath = await withContexts(t);
  const { code } = await refusal({ filePath: path.join(filePath, "..", "x".repeat(300)), env: {} });
  assert.equal(code, "config_invalid");
});
