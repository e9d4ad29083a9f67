/** Loopback servers, certificates good and bad, and an upstream that finds them under names of their own. */
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import type { TestContext } from "node:test";
import { createServer as createTlsServer, type TlsOptions, type TLSSocket } from "node:tls";
import { createUpstream, type UpstreamOptions } from "../../../src/egress/upstream/create-upstream.ts";
import { type Issuer, makeAuthorityCertificate, makeLeafCertificate, toPem } from "../../../src/pki/certificate.ts";
import { type LiveUpstream, UpstreamError } from "../../../src/egress/upstream/upstream.ts";
import type { Decision } from "../../../src/policy/spec.ts";

const DAY_MS = 86_400_000;

export const ALLOW: Decision = { verdict: "allow", rule: null, reason: "allowed by the test", fix: null };
export const DENY: Decision = {
  verdict: "deny",
  rule: null,
  reason: "denied by the test",
  fix: ["net", "allow", "SANDBOX", "x.example"],
};

export interface TestAuthority {
  issuer: Issuer;
  pem: string;
}

export function makeAuthority(): TestAuthority {
  const issuer: Issuer = { commonName: "test authority", ...generateKeyPairSync("ec", { namedCurve: "P-256" }) };
  return {
    issuer,
    pem: toPem(makeAuthorityCertificate(issuer, { notBefore: Date.now() - DAY_MS, notAfter: Date.now() + DAY_MS })),
  };
}

/** Key and certificate for a TLS server. @param daysFromNow its validity */
export function makeServerIdentity(
  { issuer }: TestAuthority,
  host: string,
  daysFromNow: readonly [number, number] = [-1, 1],
) {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const [notBefore, notAfter] = daysFromNow.map((days) => Date.now() + days * DAY_MS);
  const validity = { notBefore: notBefore ?? 0, notAfter: notAfter ?? 0 };
  return {
    key: privateKey.export({ type: "pkcs8", format: "pem" }),
    cert: toPem(makeLeafCertificate(issuer, host, publicKey, validity)),
  };
}

/** Of a server that signed its own certificate. */
export function makeSelfSigned(host: string) {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const validity = { notBefore: Date.now() - DAY_MS, notAfter: Date.now() + DAY_MS };
  const certificate = makeLeafCertificate({ commonName: host, publicKey, privateKey }, host, publicKey, validity);
  return { key: privateKey.export({ type: "pkcs8", format: "pem" }), cert: toPem(certificate) };
}

async function listen(t: TestContext, server: Server, host: string, port = 0): Promise<number> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("close", () => sockets.delete(socket));
  });
  server.listen(port, host);
  await once(server, "listening");
  t.after(async () => {
    server.close();
    for (const socket of sockets) socket.destroy();
    await once(server, "close");
  });
  return (server.address() as AddressInfo).port;
}

/** @returns its port */
export async function serveTcp(
  t: TestContext,
  onSocket: (socket: Socket) => void,
  host = "127.0.0.1",
  port = 0,
): Promise<number> {
  return listen(t, createServer({ allowHalfOpen: true }, onSocket), host, port);
}

/** @returns its port */
export async function serveTls(
  t: TestContext,
  options: TlsOptions,
  onSocket: (socket: TLSSocket) => void,
): Promise<number> {
  const server = createTlsServer(options, (socket) => {
    socket.on("error", () => undefined);
    onSocket(socket);
  });
  server.on("tlsClientError", () => undefined);
  return listen(t, server, "127.0.0.1");
}

/** Every name has the address 127.0.0.1, and every address is allowed, unless it is said otherwise. */
export function upstreamWith(options: Partial<UpstreamOptions> = {}): LiveUpstream {
  return createUpstream({
    decideAddress: () => ALLOW,
    overrides: [],
    proxy: null,
    extraRootsPem: [],
    lookup: async () => ["127.0.0.1"],
    ...options,
  });
}

export const NEVER = new AbortController().signal;

export async function failureOf(attempt: Promise<unknown>): Promise<UpstreamError> {
  try {
    await attempt;
  } catch (error) {
    if (error instanceof UpstreamError) return error;
    throw error;
  }
  throw new Error("it succeeded");
}

/** Everything up to the end; the stream's other direction stays open. */
export function readAll(stream: NodeJS.ReadableStream): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.once("end", () => resolve(Buffer.concat(chunks).toString("latin1")));
    stream.once("error", reject);
  });
}
