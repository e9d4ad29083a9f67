/** The whole way out, put together: what a leak leaves in the audit log. */
import assert from "node:assert/strict";
import { duplexPair } from "node:stream";
import { test } from "node:test";
import type { AuditEvent } from "../../../src/egress/audit-event.ts";
import { openEgress } from "../../../src/egress/egress.ts";
import type { StackServant, WaitingStack } from "../../../src/egress/waiting-stack.ts";

/** A network stack without a card: the test opens the guest's flows. */
class ServedStack implements Disposable {
  servant: StackServant | null = null;

  serve(servant: StackServant): void {
    this.servant = servant;
  }

  [Symbol.dispose](): void {
    this.servant = null;
  }
}

for (const onLeak of ["block", "report"] as const) {
  test(`one leak is one event, and another than the request's (${onLeak})`, async () => {
    const events: AuditEvent[] = [];
    const stack = new ServedStack();
    await using egress = await openEgress({
      stack: stack as unknown as WaitingStack,
      launch: {
        policy: { mode: "open", rules: [], expressions: [] },
        secrets: [{ name: "API_KEY", hosts: [{ host: "api.example.com", port: null, scheme: "https" }] }],
        onLeak,
        inspect: true,
        hookPath: null,
        // Where nothing listens: only what becomes of the request before that matters.
        resolve: [{ host: "192.0.2.9", port: 80, address: "127.0.0.1" }],
        awaitsSettings: false,
      },
      settings: { values: new Map([["API_KEY", "a-value-that-nobody-sees"]]), proxy: null, extraRootsPem: [] },
      sandbox: { id: "s1", name: null },
      audit: (event) => events.push(event),
      log: () => undefined,
      hookHost: { nodePath: process.execPath, scriptPath: "/nonexistent" },
    });
    const placeholder = egress.environment.get("API_KEY") ?? "";
    const [guest, stream] = duplexPair();
    stack.servant?.onFlow({
      ...{ id: 7, guest: { address: "10.0.2.15", port: 40000 }, target: { address: "192.0.2.9", port: 80 } },
      ...{ accept: () => stream, refuse: () => stream.destroy(), onGone: () => undefined },
    });
    guest.on("error", () => undefined).resume();
    guest.write(`GET /a HTTP/1.1\r\nhost: 192.0.2.9\r\nx-key: ${placeholder}\r\nconnection: close\r\n\r\n`);
    while (!events.some(({ kind }) => kind === "request")) await new Promise((resolve) => setTimeout(resolve, 5));
    guest.destroy();
    const leaks = events.filter(({ kind }) => kind === "leak");
    assert.equal(leaks.length, 1, JSON.stringify(leaks));
    const { verdict, flow, url, secrets } = leaks[0] ?? {};
    assert.deepEqual(
      [verdict, flow, url, secrets],
      [onLeak === "block" ? "deny" : "allow", 7, "http://192.0.2.9/a", ["API_KEY"]],
    );
    assert.equal(events.filter(({ kind }) => kind === "request").length, 1);
  });
}
