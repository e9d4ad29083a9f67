/** A name holds no longer than the token that asked for it, as with user names for SSH. */
import assert from "node:assert/strict";
import { once } from "node:events";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test, type TestContext } from "node:test";
import { DomainStore } from "../../../src/server/gateway/domain-store.ts";
import { SandboxNames } from "../../../src/server/gateway/sandbox-names.ts";
import { openServerLog } from "../../../src/server/server-log.ts";
import { SCOPES } from "../../../src/server/tokens/token-format.ts";
import { TokenStore } from "../../../src/server/tokens/token-store.ts";
import { sandboxInfo } from "../../fake-runtime.ts";
import { FakeOrganisations } from "../server/harness.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";
import { ID, openGatewayBench, type GatewayBench } from "./gateway-bench.ts";

interface Given {
  token: string;
  revoke: () => void;
  expire: () => void;
}

function give(t: TestContext, { directory }: Pick<GatewayBench, "directory">): Given {
  const tokens = TokenStore.open(directory);
  t.after(() => tokens[Symbol.dispose]());
  const life = { createdAt: Date.now(), expiresAt: null };
  const { token, record } = tokens.create({
    ...{ name: null, kind: "organisation", organisations: ["local"], scopes: [...SCOPES], ...life },
  });
  const expire = (): void => {
    using database = new DatabaseSync(path.join(directory, "control.db"));
    database.prepare("UPDATE tokens SET expires_at = 1 WHERE id = ?").run(record.id);
  };
  return { token, revoke: () => void tokens.revoke(record.id), expire };
}

test("a name whose token was revoked, or has expired, is answered as one that never was; those of other tokens go on", async (t) => {
  const bench = await openGatewayBench(t);
  await bench.serve((_request, response) => response.end("here"));
  const [stolen, brief] = [give(t, bench), give(t, bench)];
  const nameOf = async (kind: string, token?: string): Promise<string> =>
    String((await bench.call(`/api/v3/sandbox/${ID}/expose/${kind}`, {}, token)).body["domain"]);
  const names = [
    await nameOf("http", stolen.token),
    await nameOf("vscode", stolen.token),
    await nameOf("http", brief.token),
  ];
  const kept = await nameOf("http");
  for (const name of [...names, kept]) {
    await bench.runtime.domains.announce(ID, name, { guestPort: 3000 });
    assert.equal((await bench.ask(name)).text, "here");
  }
  stolen.revoke();
  brief.expire();
  const never = await bench.ask(`${"a".repeat(26)}.localhost`);
  for (const name of names) assert.deepEqual(await bench.ask(name), never);
  assert.equal((await bench.ask(kept)).text, "here");
});

test("who is connected when the token is revoked is hung up on, in the middle of an answer too", async (t) => {
  const bench = await openGatewayBench(t);
  await bench.serve((_request, response) => void response.write("begun"));
  const { token, revoke } = give(t, bench);
  const { body } = await bench.call(`/api/v3/sandbox/${ID}/expose/http`, { port: 3000 }, token);
  const domain = String(body["domain"]);
  const socket = await bench.connect(domain.replace(/:\d+$/, ""));
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.on("error", () => undefined).write(`GET / HTTP/1.1\r\nHost: ${domain}\r\n\r\n`);
  await once(socket, "data");
  revoke();
  await closed;
});

test("a port has one URL for each token: whose token goes takes nobody else's along, and is not listed any more", async (t) => {
  const bench = await openGatewayBench(t);
  await bench.serve((_request, response) => response.end("here"));
  const { token, revoke } = give(t, bench);
  const add = async (given?: string): Promise<string> =>
    String((await bench.call("/api/sbx/v1/exposure.add", { ref: ID, guestPort: 3000 }, given)).body["url"]);
  const list = async (): Promise<string[]> => {
    const { body } = await bench.call("/api/sbx/v1/exposure.list", { ref: ID });
    return (body as unknown as { url: string }[]).map(({ url }) => url).toSorted();
  };
  const [own, other] = [await add(), await add(token)];
  assert.deepEqual([await add(), await add(token)], [own, other]);
  assert.deepEqual(await list(), [own, other].toSorted());
  revoke();
  assert.deepEqual(await list(), [own]);
  assert.equal(await add(), own);
  assert.equal((await bench.ask(own.replace("https://", ""))).text, "here");
});

test("records of what is over go: tokens with their names at the supervisor, sandboxes, ids that are others' names now", async (t) => {
  const directory = temporaryDirectory(t);
  using store = DomainStore.open(directory);
  const organisations = new FakeOrganisations();
  const runtime = organisations.of("local");
  const [over, renamed] = ["sbx_loc_0000000000000000000a", "sbx_loc_0000000000000000000b"];
  runtime.sandboxes = [
    sandboxInfo(),
    sandboxInfo({ id: over, status: "stopped" }),
    sandboxInfo({ id: "sbx_loc_0000000000000000000c", name: renamed }),
  ];
  const holding = new Set(["tok_held", "tok_gone"]);
  const names = new SandboxNames({
    ...{ domain: "localhost", store, now: () => Date.now(), log: openServerLog(process.stderr, () => Date.now()) },
    tokens: { holds: (id) => holding.has(id) },
    tenants: { open: async () => ({ organisation: "local", runtime }) as never },
  });
  const tenant = { organisation: "local", runtime } as never;
  const make = async (tokenId: string): Promise<string> =>
    (await names.make({ tenant, tokenId }, ID, "http", "", { guestPort: 1 })).slice(0, 26);
  const [held, gone] = [await make("tok_held"), await make("tok_gone")];
  const labels = ["a", "b"].map((letter) => letter.repeat(26));
  for (const [at, sandbox] of [over, renamed].entries()) {
    store.add(labels[at] ?? "", { organisation: "local", sandbox, kind: "http", tokenId: "tok_held" }, 0);
  }
  holding.delete("tok_gone");
  await names.prune();
  assert.deepEqual(
    [held, gone, ...labels].map((label) => store.find(label) !== undefined),
    [true, false, false, false],
  );
  assert.deepEqual(
    (await runtime.domains.list(ID)).map(({ domain }) => domain),
    [`${held}.localhost`],
  );
});
