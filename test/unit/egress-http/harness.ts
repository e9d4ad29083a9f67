/**
 * An interceptor between real clients and real servers on loopback. `clientPort` is where the guest's connections come
 * in: whatever name a client thinks it talks to, its flow belongs to the harness's host.
 */
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket, connect as connectTcp } from "node:net";
import { Duplex } from "node:stream";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { AuditEvent } from "../../../src/egress/audit-event.ts";
import type { Hooks } from "../../../src/egress/hooks/hooks.ts";
import { createInterceptor, type HttpLimits, type Interceptor } from "../../../src/egress/http/interceptor.ts";
import type { LeakAction, Secrets } from "../../../src/egress/secrets/secrets.ts";
import { type Authority, createAuthority } from "../../../src/egress/tls/authority.ts";
import { type Upstream, type UpstreamConnection, UpstreamError } from "../../../src/egress/upstream/upstream.ts";
import type { Decision, RequestTarget } from "../../../src/policy/spec.ts";
import { fakeSecrets } from "./fake-secrets.ts";

export const HOST = "api.example.com";

export const ALLOW: Decision = {
  verdict: "allow",
  rule: { id: "r1", text: "allow api.example.com", source: { kind: "option", option: "--allow-net" } },
  reason: "allowed by r1",
  fix: null,
};

export interface HarnessOptions {
  /** Where the upstream really listens. */
  upstreamPort: number;
  /** Of the upstream's certificate, if it is not {@link upstreamAuthority}'s. */
  upstreamCa?: string;
  scheme?: "http" | "https";
  host?: string;
  /** The port that the guest dialled. */
  port?: number;
  decide?: (target: RequestTarget) => Decision | Promise<Decision>;
  secrets?: Secrets;
  hooks?: Hooks;
  onLeak?: LeakAction;
  limits?: Partial<HttpLimits>;
  /** Makes the flow a stream of JavaScript, as the network stack's are. */
  throughDuplex?: boolean;
}

export interface Harness extends AsyncDisposable {
  readonly clientPort: number;
  readonly events: AuditEvent[];
  /** What the guest trusts. */
  readonly ca: string;
  readonly interceptor: Interceptor;
  /** Connections that were dialled upstream. */
  readonly dials: { host: string; port: number; alpn: readonly string[] | null; socket: Socket }[];
  /** A raw connection of the guest, TLS where the flow is. */
  connect(alpn?: string[]): Promise<Socket>;
  /** Waits until this many events of a kind are there. */
  settled(kind: AuditEvent["kind"], count: number): Promise<AuditEvent[]>;
}

/** The upstream's side of TLS, which the fake {@link Upstream} verifies. */
export const upstreamAuthority: Authority = createAuthority();
const guestAuthority = createAuthority();

export async function startHarness(options: HarnessOptions): Promise<Harness> {
  const { scheme = "https", host = HOST, port = scheme === "https" ? 443 : 80 } = options;
  const events: AuditEvent[] = [];
  const dials: Harness["dials"] = [];
  const interceptor = createInterceptor({
    secureContext: (name) => guestAuthority.contextFor(name),
    decide: async (target) => (await options.decide?.(target)) ?? ALLOW,
    secrets: options.secrets ?? fakeSecrets(host),
    hooks: options.hooks ?? null,
    onLeak: options.onLeak ?? "block",
    upstream: fakeUpstream(options, dials),
    audit: (event) => events.push(event),
    sandboxRef: "box",
    limits: options.limits ?? {},
  });
  let flow = 0;
  const server = createServer((socket) => {
    socket.setNoDelay(true);
    const stream = options.throughDuplex === true ? asDuplex(socket) : socket;
    const facts = { flow: ++flow, host, port };
    if (scheme === "https") interceptor.serveTls(stream, facts);
    else interceptor.servePlain(stream, facts);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const clientPort = (server.address() as AddressInfo).port;
  return {
    clientPort,
    events,
    dials,
    ca: guestAuthority.certificatePem,
    interceptor,
    connect: (alpn) => connectGuest(clientPort, scheme, host, alpn),
    settled: (kind, count) => settled(events, kind, count),
    async [Symbol.asyncDispose]() {
      interceptor.close();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function connectGuest(port: number, scheme: string, servername: string, alpn?: string[]): Promise<Socket> {
  if (scheme === "http") {
    const socket = connectTcp(port, "127.0.0.1");
    await once(socket, "connect");
    return socket;
  }
  const socket = connectTls({
    host: "127.0.0.1",
    port,
    servername,
    ca: guestAuthority.certificatePem,
    ...(alpn === undefined ? {} : { ALPNProtocols: alpn }),
  });
  await once(socket, "secureConnect");
  return socket;
}

async function settled(events: AuditEvent[], kind: AuditEvent["kind"], count: number): Promise<AuditEvent[]> {
  for (;;) {
    const found = events.filter((event) => event.kind === kind);
    if (found.length >= count) return found;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function fakeUpstream({ upstreamPort, upstreamCa }: HarnessOptions, dials: Harness["dials"]): Upstream {
  return {
    async connect(target, signal): Promise<UpstreamConnection> {
      const socket = await dial(connectTcp({ host: "127.0.0.1", port: upstreamPort }), "connect", signal);
      dials.push({ ...target, alpn: null, socket });
      return { socket, address: "203.0.113.7" };
    },
    async connectTls(target, { alpnProtocols, signal }): Promise<UpstreamConnection<TLSSocket>> {
      const tls = connectTls({
        host: "127.0.0.1",
        port: upstreamPort,
        servername: target.host,
        ca: upstreamCa ?? upstreamAuthority.certificatePem,
        ALPNProtocols: [...alpnProtocols],
      });
      const socket = await dial(tls, "secureConnect", signal);
      dials.push({ ...target, alpn: alpnProtocols, socket });
      return { socket, address: "203.0.113.7" };
    },
  };
}

function dial<S extends Socket>(socket: S, event: string, signal: AbortSignal): Promise<S> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      socket.destroy();
      reject(new UpstreamError("aborted", "given up"));
    };
    signal.addEventListener("abort", abort, { once: true });
    socket.once(event, () => {
      signal.removeEventListener("abort", abort);
      resolve(socket);
    });
    socket.once("error", (error: Error & { code?: string }) => {
      const code = error.code === "ECONNREFUSED" ? "refused" : "certificate";
      reject(new UpstreamError(code, `upstream ${error.message}`, { cause: error }));
    });
  });
}

/** The same bytes without a handle below. */
function asDuplex(socket: Socket): Duplex {
  const duplex = new Duplex({
    allowHalfOpen: true,
    read() {
      socket.resume();
    },
    write(chunk: Buffer, _encoding, done) {
      socket.write(chunk, done);
    },
    final(done) {
      socket.end(done);
    },
    destroy(error, done) {
      socket.destroy();
      done(error);
    },
  });
  socket.on("data", (chunk: Buffer) => {
    if (!duplex.push(chunk)) socket.pause();
  });
  socket.on("end", () => duplex.push(null));
  socket.on("error", (error) => duplex.destroy(error));
  socket.on("close", () => duplex.destroy());
  return duplex;
}
