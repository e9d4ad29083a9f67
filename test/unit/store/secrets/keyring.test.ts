/** The keyring is asked by its program; where that is not there or does not answer, the caller is told which. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { KeyringError, systemKeyring, type Keyring } from "../../../../src/store/secrets/keyring.ts";
import { temporaryDirectory } from "../temporary-directory.ts";
import { FakeSecretTool, type ToolMode } from "./fake-secret-tool.ts";

function open(t: TestContext, mode: ToolMode = "works"): { tool: FakeSecretTool; keyring: Keyring } {
  const tool = new FakeSecretTool(temporaryDirectory(t), mode);
  return {
    tool,
    keyring: systemKeyring({ environment: tool.environment, probeTimeoutMs: 5000, answerTimeoutMs: 300 }),
  };
}

test("what is stored is found again, and gone once it is removed", async (t) => {
  const { keyring } = open(t);
  assert.equal(await keyring.lookup("a"), null);
  await keyring.store("a", "secret text");
  assert.equal(await keyring.lookup("a"), "secret text");
  assert.equal(await keyring.lookup("b"), null);
  await keyring.remove("a");
  assert.equal(await keyring.lookup("a"), null);
});

test("the text never is an argument of the program", async (t) => {
  const { keyring, tool } = open(t);
  await keyring.store("a", "0123456789abcdef");
  assert.match(tool.calls, /^store --label=sbx: key of stored secrets application sbx key a$/m);
  assert.ok(!tool.calls.includes("0123456789abcdef"));
});

test("without a session the program's own words are the error", async (t) => {
  const { keyring } = open(t, "no-session");
  const error = new KeyringError("Cannot autolaunch D-Bus without X11 $DISPLAY");
  await assert.rejects(keyring.lookup("a"), error);
  await assert.rejects(keyring.store("a", "x"), error);
});

test("a keyring that does not answer is given up", async (t) => {
  const { keyring } = open(t, "hangs");
  await assert.rejects(keyring.lookup("a"), new KeyringError("the keyring did not answer within 0.3 s"));
});

test("a keyring that does not keep what it is given is none", async (t) => {
  const { keyring } = open(t, "forgets");
  await assert.rejects(keyring.store("a", "x"), new KeyringError("the keyring does not keep what it is given"));
});

test("without the program there is no keyring", async () => {
  const keyring = systemKeyring({ environment: { PATH: "/nowhere" } });
  await assert.rejects(keyring.lookup("a"), new KeyringError("secret-tool is not installed"));
});
