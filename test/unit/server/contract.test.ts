/** What the server has, frozen; its document; its configuration; where one frame ends. */
import assert from "node:assert/strict";
import { randomBytes, randomInt } from "node:crypto";
import { test } from "node:test";
import { openApiDocument } from "../../../src/server/api/openapi.ts";
import { OPERATOR_PATHS, ROUTES, UPGRADES } from "../../../src/server/api/routes.ts";
import { DEFAULT_QUOTAS, parseServerConfig } from "../../../src/server/config.ts";
import { FrameBoundary } from "../../../src/server/relay/frame-boundary.ts";

test("the routes are these, with these scopes", () => {
  const published = ROUTES.filter(({ path }) => !path.startsWith("/api/sbx/"));
  assert.deepEqual(published.map(({ method, path, scope }) => `${scope}: ${method} ${path}`).sort(), [
    "apps: DELETE /api/v2/apps/:app",
    "apps: DELETE /api/v2/layers/:layer",
    "apps: DELETE /api/v2/revisions/:id",
    "apps: PATCH /api/v2/apps/:app",
    "apps: PATCH /api/v2/layers/:layer",
    "apps: PATCH /api/v2/revisions/:id",
    "apps: POST /api/v2/apps",
    "apps: POST /api/v2/apps/:app/deploy",
    "apps: POST /api/v2/layers",
    "apps: POST /api/v2/revisions/:id/cancel",
    "apps: POST /api/v2/sandboxes/:id/deploy",
    "read: GET /api/v2/apps",
    "read: GET /api/v2/apps/:app",
    "read: GET /api/v2/apps/:app/logs",
    "read: GET /api/v2/apps/:app/revisions",
    "read: GET /api/v2/apps/:app/timelines",
    "read: GET /api/v2/layers",
    "read: GET /api/v2/layers/:layer",
    "read: GET /api/v2/layers/:layer/apps",
    "read: GET /api/v2/revisions/:id",
    "read: GET /api/v2/revisions/:id/build_logs",
    "read: GET /api/v2/revisions/:id/progress",
    "read: GET /api/v2/revisions/:id/timelines",
    "read: GET /api/v2/sandboxes",
    "read: GET /api/v2/snapshots",
    "read: GET /api/v2/snapshots/:snapshot",
    "read: GET /api/v2/volumes",
    "read: GET /api/v2/volumes/:volume",
    "read: GET /api/v3/sandboxes",
    "sandboxes: DELETE /api/v3/sandbox/:id",
    "sandboxes: DELETE /api/v3/sandbox/:id/expose/ssh",
    "sandboxes: DELETE /api/v3/sandboxes/:id",
    "sandboxes: PATCH /api/v3/sandbox/:id",
    "sandboxes: POST /api/v3/sandbox/:id/expose/http",
    "sandboxes: POST /api/v3/sandbox/:id/expose/ssh",
    "sandboxes: POST /api/v3/sandbox/:id/expose/vscode",
    "volumes: DELETE /api/v2/snapshots/:snapshot",
    "volumes: DELETE /api/v2/volumes/:volume",
    "volumes: POST /api/v2/volumes",
    "volumes: POST /api/v2/volumes/:volume/snapshot",
  ]);
  assert.deepEqual(
    Object.values(UPGRADES).map(({ path }) => path),
    [
      ...["/api/v3/sandboxes/create", "/api/v3/sandbox/:id/connect", "/api/sbx/v1/sandbox/:ref/ssh"],
      "/api/sbx/v1/import/:kind",
    ],
  );
  assert.deepEqual(Object.values(OPERATOR_PATHS), ["/healthz", "/readyz", "/metrics", "/openapi.json"]);
});

test("the document describes every route, with its parameters, and refers to nothing that it has not", () => {
  const document = openApiDocument("1.2.3");
  const paths = document["paths"] as Record<
    string,
    Record<string, { parameters: { name: string }[]; responses: object }>
  >;
  const described = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  const known = [
    ...ROUTES.map(({ method, path }) => `${method} ${path}`),
    ...Object.values(UPGRADES).map(({ path }) => `GET ${path}`),
  ];
  assert.deepEqual(described.sort(), known.map((one) => one.replaceAll(/:(\w+)/g, "{$1}")).sort());
  const text = JSON.stringify(document);
  assert.deepEqual([...new Set(text.match(/"\$ref":"[^"]+"/g))], ['"$ref":"#/components/schemas/Error"']);
  const list = paths["/api/v2/volumes"]?.["get"];
  assert.deepEqual(
    list?.parameters.map(({ name }) => name),
    ["limit", "cursor", "search", "x-deno-org"],
  );
  assert.match(text, /"stop_at_ms":\{[^}]*"type":"number"/);
});

test("a configuration gives each organisation its own limits, over common ones, over the documented ones", () => {
  const text = JSON.stringify({
    quotas: { sandboxes: 10, lifetime: "2h" },
    organisations: { acme: { quotas: { sandboxes: 1, maxVolume: "1.5GiB" } } },
  });
  const config = parseServerConfig(text, "limits.json");
  assert.deepEqual(config.quotasOf("local"), { ...DEFAULT_QUOTAS, sandboxes: 10, lifetime: 7_200_000 });
  assert.deepEqual(config.quotasOf("acme"), {
    ...DEFAULT_QUOTAS,
    ...{ sandboxes: 1, lifetime: 7_200_000, maxVolume: 1.5 * 1024 ** 3 },
  });
});

test("a configuration that does not parse is an error with its place, and exit status 2", () => {
  const cases = [
    ["{", /limits\.json is not JSON/],
    ['{"quota":{}}', /Unrecognized key: "quota"/],
    ['{"quotas":{"sandboxes":-1}}', /quotas\.sandboxes: /],
    ['{"quotas":{"lifetime":"soon"}}', /quotas\.lifetime: must be a duration/],
    ['{"quotas":{"maxVolume":"big"}}', /quotas\.maxVolume: must be a size/],
    ['{"organisations":{"A B":{"quotas":{}}}}', /organisations/],
    ['{"publicUrl":"ftp://x"}', /publicUrl/],
    ["[]", /limits\.json: /],
  ] as const;
  for (const [text, message] of cases) {
    assert.throws(() => parseServerConfig(text, "limits.json"), { code: "config_invalid", exitCode: 2, message }, text);
  }
});

test("the end of a frame is found in a stream of any cut, for every length and with masks", () => {
  for (let round = 0; round < 300; round++) {
    const frames = Array.from({ length: randomInt(1, 6) }, makeFrame);
    const stream = Buffer.concat(frames);
    const ends = new Set(frames.map((_, at) => Buffer.concat(frames.slice(0, at + 1)).length));
    const boundary = new FrameBoundary();
    for (let at = 0; at < stream.length;) {
      const chunk = stream.subarray(at, at + randomInt(1, 5000));
      at += boundary.advance(chunk, true);
      assert.equal(boundary.isBetweenFrames, ends.has(at));
    }
  }
});

function makeFrame(): Buffer {
  const length = [0, 1, 125, 126, 300, 65_535, 65_536, 70_000][randomInt(8)] ?? 0;
  const masked = randomInt(2) === 1;
  const mask = masked ? 0x80 : 0;
  const head =
    length < 126
      ? Buffer.from([0x82, mask | length])
      : length < 65_536
        ? Buffer.from([0x82, mask | 126, length >> 8, length & 0xff])
        : Buffer.from([
            0x82,
            mask | 127,
            0,
            0,
            0,
            0,
            length >>> 24,
            (length >> 16) & 0xff,
            (length >> 8) & 0xff,
            length & 0xff,
          ]);
  return Buffer.concat([head, randomBytes(masked ? 4 : 0), randomBytes(length)]);
}
