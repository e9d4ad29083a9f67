/** The interceptor with the secrets that the product has, in both versions of HTTP. */
import assert from "node:assert/strict";
import type { ServerHttp2Stream } from "node:http2";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { createSecrets } from "../../../src/egress/secrets/create-secrets.ts";
import type { Secrets } from "../../../src/egress/secrets/secrets.ts";
import { ask, openH2, readAll, readH2 } from "./clients.ts";
import { HOST, startHarness } from "./harness.ts";
import { http2Server, httpsServer } from "./servers.ts";

const VALUE = "sk-real-1234567890-abcdef";

function realSecrets(host: string, onLeak: "block" | "report" = "block"): { secrets: Secrets; placeholder: string } {
  const grants = [{ name: "KEY", hosts: [{ host, port: null, scheme: "https" as const }] }];
  const secrets = createSecrets({ grants, onLeak, report: () => undefined });
  secrets.setValue("KEY", VALUE);
  return { secrets, placeholder: secrets.grants[0]?.placeholder ?? "" };
}

test("a value goes out in the head or the body, not in both, and comes back as its placeholder, compressed or not", async () => {
  const { secrets, placeholder } = realSecrets(HOST);
  const arrived: string[] = [];
  await using upstream = await httpsServer((request, response) => {
    void readAll(request).then((body) => {
      arrived.push(`${request.headers.authorization ?? "nobody"} ${body.toString()}`);
      response.writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" });
      response.end(gzipSync(JSON.stringify({ echo: body.toString() })));
    });
  });
  await using harness = await startHarness({ upstreamPort: upstream.port, secrets });
  const json = { "content-type": "application/json" };
  const body = JSON.stringify({ key: placeholder });
  for (const headers of [{ ...json, authorization: `Bearer ${placeholder}` }, json]) {
    const got = await ask(harness, "/", { method: "POST", headers, body });
    assert.ok(got.body.toString().includes(placeholder));
    assert.ok(!got.body.toString().includes(VALUE));
  }
  assert.deepEqual(arrived, [`Bearer ${VALUE} ${body}`, `nobody {"key":"${VALUE}"}`]);
  const events = await harness.settled("request", 2);
  assert.deepEqual(
    events.map(({ secrets: used }) => used),
    [["KEY"], ["KEY"]],
  );
});

test("the same by HTTP/2", async () => {
  const { secrets, placeholder } = realSecrets(HOST);
  await using upstream = await http2Server();
  upstream.server.on("stream", (stream: ServerHttp2Stream, headers) => {
    void readAll(stream).then((body) => {
      const echo = `${headers.authorization ?? ""} ${headers["content-length"] ?? "no length"}`;
      stream.respond({ ":status": 200, "content-type": "text/plain", "x-echo": echo });
      stream.end(`${body.length} ${body.toString()}`);
    });
  });
  await using harness = await startHarness({ upstreamPort: upstream.port, secrets });
  const session = await openH2(harness);
  const post = async (authorization: Record<string, string>): Promise<{ echo: unknown; body: string }> => {
    const stream = session.request({
      ":method": "POST",
      ":path": "/",
      ...authorization,
      "content-type": "text/plain",
      "content-length": String(placeholder.length),
    });
    stream.end(placeholder);
    const { headers, body } = await readH2(stream);
    return { echo: headers["x-echo"], body: body.toString() };
  };
  const { length } = placeholder;
  const knowing = await post({ authorization: `Bearer ${placeholder}` });
  assert.deepEqual(knowing, { echo: `Bearer ${placeholder} ${length}`, body: `${length} ${placeholder}` });
  assert.equal((await post({})).body, `${VALUE.length} ${placeholder}`);
  session.close();
});

test("a placeholder for another host is written to the log once, blocked or only reported", async () => {
  await using upstream = await httpsServer((request, response) => {
    request.resume().on("end", () => response.end("ok"));
  });
  for (const onLeak of ["block", "report"] as const) {
    const { secrets, placeholder } = realSecrets("other.example.com", onLeak);
    await using harness = await startHarness({ upstreamPort: upstream.port, secrets, onLeak });
    const inHead = await ask(harness, "/", { headers: { "x-key": placeholder } });
    const inBody = await ask(harness, "/", { method: "POST", body: `k=${placeholder}` });
    const status = onLeak === "block" ? 403 : 200;
    assert.deepEqual([inHead.status, inBody.status], [status, status]);
    await harness.settled("request", 2);
    const leaks = harness.events.filter((event) => event.kind === "leak");
    assert.deepEqual(
      leaks.map(({ verdict, secrets: names, flow }) => ({ verdict, names, flow })),
      [1, 2].map((flow) => ({ verdict: onLeak === "block" ? "deny" : "allow", names: ["KEY"], flow })),
    );
  }
});
