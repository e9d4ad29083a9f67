import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { test } from "node:test";
import { handshakeFields } from "../../../src/server/http/handshake-fields.ts";

function handshake(more: Record<string, string> = {}): IncomingMessage {
  const headers: Record<string, string> = {
    ...{ host: "sbx.test", upgrade: "websocket", connection: "Upgrade", "sec-websocket-version": "13" },
    ...{ "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==", authorization: "Bearer ddo_secret", ...more },
  };
  const headersDistinct = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]]));
  return { method: "GET", headers, headersDistinct } as unknown as IncomingMessage;
}

test("a sandbox is sent the handshake, the extensions and who the client says it is, and nothing else", () => {
  const agent = "Python/3.11 websockets/17.4";
  const sent = Object.fromEntries(
    handshakeFields(
      handshake({
        ...{ "user-agent": agent, "x-sbx-extensions": "1", "x-sbx-primary": "token", cookie: "a=b" },
        ...{ "x-deno-sandbox-config": "e30=", "x-deno-org": "acme" },
      }),
    ),
  );
  assert.deepEqual(sent, {
    ...{ "sec-websocket-version": "13", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==" },
    ...{ "user-agent": agent, "x-sbx-extensions": "1" },
  });
});

test("a name that is longer than a client's is not sent on", () => {
  const names = handshakeFields(handshake({ "user-agent": "x".repeat(257) })).map(([name]) => name);
  assert.deepEqual(names.toSorted(), ["sec-websocket-key", "sec-websocket-version"]);
});
