/**
 * The intercepting path without a guest: what a supervisor puts together (src/egress/egress.ts), with connections from
 * the host's loopback in place of the network stack's. It runs until it is killed.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { createFlowRouter } from "../../src/egress/flows/flow-router.ts";
import type { GuestFlow } from "../../src/egress/guest-flow.ts";
import { createInterceptor } from "../../src/egress/http/interceptor.ts";
import { createSecrets } from "../../src/egress/secrets/create-secrets.ts";
import { createAuthority } from "../../src/egress/tls/authority.ts";
import { createUpstream } from "../../src/egress/upstream/create-upstream.ts";
import { Policy } from "../../src/policy/policy.ts";
import type { RuleSpec } from "../../src/policy/spec.ts";
import { AuditTrail } from "../../src/supervisor/network/audit-trail.ts";
import { ownProxySettings } from "./own-proxy.ts";

const SECRET_NAME = "BENCH_KEY";

const { serverName, serverPort, rootPath, caPath, directory, value } = ownProxySettings.parse(
  JSON.parse(process.argv[2] ?? ""),
);

const rule: RuleSpec = {
  ...{ id: "r1", verdict: "allow", host: serverName, ports: [{ first: serverPort, last: serverPort }] },
  ...{ methods: null, paths: null, source: { kind: "option", option: "--allow-net" } },
};
const policy = new Policy({ mode: "none", rules: [rule], expressions: [] });
const audit = new AuditTrail(directory).record;
const secrets = createSecrets({
  grants: [{ name: SECRET_NAME, hosts: [{ host: serverName, port: null, scheme: "https" }] }],
  onLeak: "block",
  report: (leak) => process.stderr.write(`a leak: ${JSON.stringify(leak)}\n`),
});
secrets.setValue(SECRET_NAME, value);
const authority = createAuthority();
const upstream = createUpstream({
  decideAddress: (target, address) => policy.decideAddress(target, address),
  overrides: [{ host: serverName, port: serverPort, address: "127.0.0.1" }],
  proxy: null,
  extraRootsPem: [readFileSync(rootPath, "utf8")],
});
const interceptor = createInterceptor({
  ...{ secrets, hooks: null, upstream, audit, onLeak: "block", sandboxRef: "bench" },
  secureContext: (host) => authority.contextFor(host),
  decide: async (target) => policy.decideRequest(target).decision,
});
const router = createFlowRouter({
  ...{ upstream, audit, interceptor, gateway: [] },
  names: { hold: () => ({ name: serverName, [Symbol.dispose]: () => undefined }) },
  judge: () => policy,
  mustRead: (target) => secrets.concerns(target),
  dnsOverTcp: (stream) => stream.destroy(),
});

let flows = 0;
const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => router.onFlow(asFlow(socket)));
server.listen(0, "127.0.0.1");
await once(server, "listening");
writeFileSync(caPath, authority.certificatePem);
const { port } = server.address() as AddressInfo;
const placeholder = secrets.grants[0]?.placeholder;
process.stdout.write(`${JSON.stringify({ port, placeholder })}\n`);

function asFlow(socket: Socket): GuestFlow {
  flows++;
  return {
    id: flows,
    guest: { address: "192.0.2.2", port: socket.remotePort ?? 0 },
    target: { address: "192.0.2.1", port: serverPort },
    accept: () => socket,
    refuse: () => void socket.destroy(),
    onGone: () => undefined,
  };
}
