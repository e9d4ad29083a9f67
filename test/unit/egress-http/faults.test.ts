/** What a mistake of sbx's own costs: at most the request that meets it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Secrets } from "../../../src/egress/secrets/secrets.ts";
import { ask, openH2, readH2 } from "./clients.ts";
import { fakeSecrets } from "./fake-secrets.ts";
import { HOST, type Harness, startHarness } from "./harness.ts";
import { httpsServer } from "./servers.ts";

/** Secrets that fail in the first request's record, which is written when all else is over. */
function failingOnce(): Secrets {
  const secrets = fakeSecrets(HOST);
  let faults = 1;
  return {
    ...secrets,
    scrubText: (text) => {
      if (faults-- > 0) throw new TypeError("a mistake");
      return secrets.scrubText(text);
    },
  };
}

async function checkFault(harness: Harness): Promise<void> {
  const [fault] = await harness.settled("connection", 1);
  assert.equal(fault?.error, "a mistake");
  assert.equal(String((await ask(harness, "/two")).body), "fine");
}

test("a fault in an HTTP/1.1 request is in the audit log, and costs no other request", async () => {
  await using upstream = await httpsServer((_request, response) => response.end("fine"));
  await using harness = await startHarness({ upstreamPort: upstream.port, secrets: failingOnce() });
  await ask(harness, "/one").catch(() => undefined);
  await checkFault(harness);
});

test("a fault in an HTTP/2 request is in the audit log, and costs no other request", async () => {
  await using upstream = await httpsServer((_request, response) => response.end("fine"));
  await using harness = await startHarness({ upstreamPort: upstream.port, secrets: failingOnce() });
  const session = await openH2(harness);
  await readH2(session.request({ ":path": "/one" })).catch(() => undefined);
  session.destroy();
  await checkFault(harness);
});
