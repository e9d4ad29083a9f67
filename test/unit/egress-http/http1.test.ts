import assert from "node:assert/strict";
import { test } from "node:test";
import { ask } from "./clients.ts";
import { PLACEHOLDER, VALUE } from "./fake-secrets.ts";
import { HOST, startHarness } from "./harness.ts";
import { httpServer, httpsServer } from "./servers.ts";

test("a request reaches its upstream with its secret, and its response comes back without", async () => {
  await using upstream = await httpsServer((request, response) => {
    response.setHeader("x-echo", request.headers.authorization ?? "");
    response.end(`${request.method} ${request.url} ${request.headers.host}`);
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const got = await ask(harness, `/v1?key=${PLACEHOLDER}`, { headers: { authorization: `Bearer ${PLACEHOLDER}` } });
  assert.equal(got.status, 200);
  assert.equal(got.headers["x-echo"], `Bearer ${PLACEHOLDER}`);
  assert.equal(got.body.toString(), `GET /v1?key=${VALUE} ${HOST}`);
  const [event] = await harness.settled("request", 1);
  assert.deepEqual(
    { ...event, time: 0, ms: 0 },
    {
      time: 0,
      kind: "request",
      verdict: "allow",
      flow: 1,
      host: HOST,
      port: 443,
      method: "GET",
      url: `https://${HOST}/v1?key`,
      via: "intercept",
      status: 200,
      rule: { id: "r1", text: "allow api.example.com", source: { kind: "option", option: "--allow-net" } },
      fix: null,
      reason: "allowed by r1",
      address: "203.0.113.7",
      secrets: ["API_KEY"],
      sentBytes: 0,
      receivedBytes: got.body.length,
      ms: 0,
    },
  );
});

test("a plain request is carried the same way, and a flow that is a stream of JavaScript as well", async () => {
  await using upstream = await httpServer((request, response) => response.end(request.url));
  for (const throughDuplex of [false, true]) {
    await using harness = await startHarness({ upstreamPort: upstream.port, scheme: "http", throughDuplex });
    const got = await ask(harness, "/plain", { plain: true });
    assert.equal(got.body.toString(), "/plain");
  }
});

test("TLS over a stream of JavaScript works", async () => {
  await using upstream = await httpsServer((request, response) => response.end(request.url));
  await using harness = await startHarness({ upstreamPort: upstream.port, throughDuplex: true });
  const got = await ask(harness, "/js");
  assert.equal(got.body.toString(), "/js");
});
