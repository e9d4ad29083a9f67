/** `exposeHttp`: a client binds names that the control plane has made for its sandbox, and no others. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { serveLink } from "./rpc-harness.ts";
import { openScriptedLink } from "./scripted-agent.ts";

test("a name is bound to a port or to a process that is known, and to nothing of another sandbox", async (t) => {
  const bound: unknown[] = [];
  const script = { exec: () => ({ pid: 7 }), wait: () => new Promise<never>(() => undefined) };
  const { link } = await openScriptedLink(script);
  const bench = await serveLink(t, link, {
    bindDomain: async (domain, target) => {
      if (domain !== "own.localhost:8443") return false;
      bound.push(target);
      return true;
    },
  });
  const { client } = await bench.connect();
  const domain = "own.localhost:8443";
  assert.equal(await client.call("exposeHttp", { domain, port: 3000 }), null);
  const gone = await client.callError("exposeHttp", { domain, pid: 7 });
  assert.equal(gone.code, "ENOENT");
  await client.call("spawn", { command: "x", stdout: "null", stderr: "null" });
  assert.equal(await client.call("exposeHttp", { domain, pid: 7 }), null);
  assert.deepEqual(bound, [{ port: 3000 }, { pid: 7 }]);
  const refused = await client.callError("exposeHttp", { domain: "other.localhost:8443", port: 3000 });
  assert.equal(refused.constructorName, "PermissionDenied");
  assert.match(refused.message, /"other\.localhost:8443" is no name of this sandbox/);
});
