/** Volumes and snapshots of a server that has the published API alone. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openPublishedServer, sendJson, website, type Answering } from "./published-server.ts";

const VOLUME = {
  ...{ id: "vol_ord_1", slug: "data", region: "ord", capacity: 1_000_000_000, is_bootable: false },
  ...{ estimated_allocated_size: 5, estimated_flattened_size: 6, base_snapshot: null },
};
const SNAPSHOT = {
  ...{ id: "snp_ord_1", slug: "tools", region: "ord", allocated_size: 7, flattened_size: 8, is_bootable: true },
  volume: { id: "vol_ord_1", slug: "data" },
};

const ANSWER: Answering = (request, response) => {
  const { url = "", method } = request;
  if (method === "DELETE") response.writeHead(204).end();
  else if (/\/snapshot$/.test(url) || /^\/api\/v2\/snapshots\/./.test(url)) sendJson(response, SNAPSHOT);
  else if (url.startsWith("/api/v2/snapshots")) sendJson(response, [SNAPSHOT]);
  else if (/^\/api\/v2\/volumes\?search=da$/.test(url)) {
    sendJson(response, [VOLUME], { link: `<https://elsewhere.example/api/v2/volumes?cursor=X>; rel="next"` });
  } else if (url.startsWith("/api/v2/volumes?")) sendJson(response, [{ ...VOLUME, id: "vol_ord_2", slug: "date" }]);
  else if (url.startsWith("/api/v2/volumes")) sendJson(response, VOLUME);
  else website(request, response);
};

test("volumes and snapshots are made, listed in all pages, looked at and removed by the published calls", async (t) => {
  const { remote, requests } = await openPublishedServer(t, { answer: ANSWER });
  const listed = await remote.volumes.list({ search: "da" });
  assert.deepEqual(
    listed.map(({ slug, capacityBytes }) => [slug, capacityBytes]),
    [
      ["data", 1_000_000_000],
      ["date", 1_000_000_000],
    ],
  );
  assert.equal((await remote.volumes.create({ slug: "data", capacityBytes: 1_000_000_000 })).id, "vol_ord_1");
  assert.equal((await remote.volumes.get("data")).slug, "data");
  assert.equal((await remote.volumes.snapshot("data", "tools")).slug, "tools");
  assert.equal((await remote.snapshots.create("tools", "data")).source.name, "data");
  assert.equal((await remote.snapshots.list()).length, 1);
  await remote.snapshots.remove("tools");
  await remote.volumes.remove("data");
  assert.deepEqual(
    requests.map(({ method, path }) => `${method} ${path}`),
    [
      "GET /api/sbx/v1/about",
      ...["GET /api/v2/volumes?search=da", "GET /api/v2/volumes?search=da&cursor=X", "POST /api/v2/volumes"],
      ...["GET /api/v2/volumes/data", "POST /api/v2/volumes/data/snapshot", "POST /api/v2/volumes/data/snapshot"],
      ...["GET /api/v2/snapshots", "GET /api/v2/snapshots/tools", "DELETE /api/v2/snapshots/snp_ord_1"],
      ...["GET /api/v2/volumes/data", "DELETE /api/v2/volumes/vol_ord_1"],
    ],
  );
  assert.deepEqual(JSON.parse(requests[3]?.body ?? ""), { slug: "data", region: "ord", capacity: 1_000_000_000 });
});

test("what that API has no words for is refused, and nothing is asked instead", async (t) => {
  const { remote } = await openPublishedServer(t, { answer: ANSWER });
  const { volumes, snapshots } = remote;
  const mount = { path: "/data", access: "read-write" } as const;
  const calls: Promise<unknown>[] = [
    ...[volumes.list({ removed: true }), volumes.get("data", { verify: true }), volumes.restore("data")],
    ...[volumes.resize("data", 2e9), volumes.attach("data", "sbx_ord_1", mount), volumes.detach("data", "sbx_ord_1")],
    ...[snapshots.tree(), snapshots.get("tools", { verify: true }), remote.network.show("sbx_ord_1")],
  ];
  for (const call of calls) await assert.rejects(call, { code: "unsupported" });
  await assert.rejects(volumes.create({ slug: "data" }), { code: "usage", hint: "--capacity 10GB" });
});

test("an object that lacks something is not believed", async (t) => {
  const answer: Answering = (request, response) =>
    request.url?.startsWith("/api/v2/") === true
      ? sendJson(response, [{ ...VOLUME, capacity: "1GB" }])
      : website(request, response);
  const { remote } = await openPublishedServer(t, { answer });
  await assert.rejects(remote.volumes.list(), { code: "server_failed" });
});
