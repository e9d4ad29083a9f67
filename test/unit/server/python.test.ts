/** What the SDK for Python asks of the API otherwise (docs/sdks.md). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { snapshotInfo } from "../../fake-disks.ts";
import { sandboxInfo } from "../../fake-runtime.ts";
import { openBench } from "./harness.ts";

test("labels in the form of a Python dictionary select sandboxes", async (t) => {
  const { call, runtime } = await openBench(t);
  runtime.sandboxes = [sandboxInfo({ id: "sbx_loc_00000000000000000001", labels: { team: "it's a" } })];
  const list = async (labels: string): Promise<unknown> => {
    const { status, body } = await call("GET", `/api/v3/sandboxes?labels=${encodeURIComponent(labels)}`);
    return status === 200 ? (body as unknown[]).length : status;
  };
  assert.equal(await list(`{'team': "it's a"}`), 1);
  assert.equal(await list("{'team': 'b'}"), 0);
  assert.equal(await list("{}"), 1);
  assert.equal(await list("team=a"), 400);
});

test("a whole link is a cursor, as the cursor in it is", async (t) => {
  const { call, runtime } = await openBench(t);
  runtime.snapshots.snapshots = Array.from({ length: 3 }, (_, at) =>
    snapshotInfo({ id: `snp_${at}`, slug: `s-${at}` }),
  );
  const { headers, body } = await call("GET", "/api/v2/snapshots?limit=2");
  const link = /<([^>]*)>/.exec(headers.get("link") ?? "")?.[1] ?? "";
  const next = await call("GET", `/api/v2/snapshots?limit=2&cursor=${encodeURIComponent(link)}`);
  const slugs = [...(body as { slug: string }[]), ...(next.body as { slug: string }[])].map(({ slug }) => slug);
  assert.equal(new Set(slugs).size, 3);
  const wrong = `/api/v2/snapshots?cursor=${encodeURIComponent("http://x/?cursor=none")}`;
  assert.equal((await call("GET", wrong)).status, 400);
});
