/** `vscode`: what is started in the guest, what does not get there, and what is believed of the guest's answer. */
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { SbxError } from "../../../src/runtime/errors.ts";
import { serveLink, type TestClient } from "./rpc-harness.ts";
import { never, openScriptedLink, type ScriptedAgent } from "./scripted-agent.ts";

const TOKEN = "ddo_the-callers-own-token";

interface Bench {
  client: TestClient;
  agent: ScriptedAgent;
}

async function open(t: TestContext, gallery = true): Promise<Bench> {
  const kills: unknown[] = [];
  const { link, agent } = await openScriptedLink({
    exec: () => ({ pid: 7 }),
    wait: () => never(),
    kill: (params) => {
      kills.push(params);
      return null;
    },
  });
  const bench = await serveLink(t, link, { editor: { open: async () => Promise.resolve(gallery) } });
  return { client: (await bench.connect()).client, agent };
}

/** What the guest says into descriptor 3. */
async function say(agent: ScriptedAgent, text: string): Promise<void> {
  const { extra } = await agent.call("exec");
  const stream = extra?.[0]?.read ?? 0;
  await agent.produceAll(stream, text);
}

describe("VS Code over the RPC", () => {
  test("is a process with its port and output; the token that the SDK sends along does not reach the guest", async (t) => {
    const { client, agent } = await open(t);
    const asked = client.request("vscode", {
      ...{
        path: "/home/app/web",
        extensions: ["a.b", "./c.vsix"],
        preview: "http://localhost:3000",
        disableStopButton: true,
      },
      ...{ env: { DENO_DEPLOY_SANDBOX_TOKEN: TOKEN, COLOUR: "green" }, editorSettings: { "editor.fontSize": 20 } },
    });
    const call = await agent.call("exec");
    assert.equal(call.env["COLOUR"], "green");
    assert.ok(!JSON.stringify(agent.calls).includes(TOKEN));
    assert.ok(!Object.hasOwn(call.env, "DENO_DEPLOY_SANDBOX_TOKEN"));
    assert.deepEqual(call.argv.slice(0, 2), ["/opt/sbx/code/node/bin/node", "/opt/sbx/code/launch.mjs"]);
    assert.deepEqual(JSON.parse(call.argv[2] ?? ""), {
      ...{ action: "serve", gallery: true, folder: "/home/app/web", preview: "http://localhost:3000/" },
      extensions: ["denoland.vscode-deno", "a.b", "./c.vsix"],
      settings: { "editor.fontSize": 20 },
    });
    await say(agent, "41357\n");
    const { result } = await client.reply(asked);
    const { pid, port, stdoutStreamId, stderrStreamId } = result?.ok as Record<string, number>;
    assert.deepEqual([pid, port], [7, 41_357]);
    assert.ok(Number.isInteger(stdoutStreamId) && Number.isInteger(stderrStreamId));
  });

  test("is ended with all that it has started", async (t) => {
    const { client, agent } = await open(t);
    const asked = client.request("vscode", { path: "/home/app", extensions: [] });
    await say(agent, "41357\n");
    await client.reply(asked);
    assert.equal(await client.call("processKill", { pid: 7, vscode: true }), null);
    assert.deepEqual(await agent.call("kill"), { pid: 7, signal: "SIGTERM", group: true });
  });

  test("has no extension that nobody asked for where the sandbox may not fetch any", async (t) => {
    const { client, agent } = await open(t, false);
    client.request("vscode", { path: "/home/app", extensions: [] });
    const launch = JSON.parse((await agent.call("exec")).argv[2] ?? "") as Record<string, unknown>;
    assert.deepEqual([launch["gallery"], launch["extensions"], launch["preview"]], [false, [], null]);
  });

  for (const answer of ["", "x\n", "0\n", "99999\n", "123456789", "80 \n", "80"]) {
    test(`did not start where the guest answers ${JSON.stringify(answer)}`, async (t) => {
      const { client, agent } = await open(t);
      const asked = client.request("vscode", { path: "/home/app", extensions: [] });
      await say(agent, answer);
      const { result } = await client.reply(asked);
      assert.match(result?.error?.message ?? "", /^VS Code did not start/);
    });
  }

  test("shows no page that is none, and takes no more settings than an argument has room for", async (t) => {
    const { client } = await open(t);
    const base = { path: "/home/app", extensions: [] };
    const preview = await client.callError("vscode", { ...base, preview: "file:///etc/passwd" });
    assert.equal(preview.constructorName, "TypeError");
    const long = await client.callError("vscode", { ...base, editorSettings: { x: "y".repeat(200_000) } });
    assert.match(long.message, /up to 102400 bytes/);
  });

  test("that cannot be had is refused with the reason", async (t) => {
    const { link } = await openScriptedLink({});
    const editor = {
      open: async () => Promise.reject(new SbxError("image_build_failed", "npm could not download code-server")),
    };
    const { client } = await (await serveLink(t, link, { editor })).connect();
    const error = await client.callError("vscode", { path: "/home/app", extensions: [] });
    assert.match(error.message, /npm could not download/);
  });
});
