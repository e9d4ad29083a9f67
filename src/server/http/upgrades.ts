/** WebSockets: making a sandbox, connecting to one. */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { EXTENSIONS_HEADER } from "../../protocol/rpc-messages.ts";
import { ApiError, toApiError } from "../api-error.ts";
import { UPGRADES } from "../api/routes.ts";
import { matchPath } from "../api/route.ts";
import type { ControlPlane } from "../control-plane.ts";
import { findSandbox, notRunning } from "../organisations/find-exactly.ts";
import type { Tenant } from "../organisations/tenant.ts";
import { Relay } from "../relay/relay.ts";
import { CONFIG_HEADER } from "../sandbox-config.ts";
import { failureText } from "../server-log.ts";
import { authenticate, requireScope, type Caller } from "../tokens/authenticate.ts";
import { refuseSocket } from "./answers.ts";
import { createSandbox, type CreatedSandbox } from "./create-sandbox.ts";
import { EarlyBytes } from "./early-bytes.ts";
import { handshakeFields } from "./handshake-fields.ts";
import { KEEP_ALIVE_MS } from "./limits.ts";
import { requestUrl } from "./public-url.ts";
import { openImport } from "./import-upgrade.ts";
import { openSshRelay } from "./ssh-upgrade.ts";

export interface Upgrade {
  request: IncomingMessage;
  socket: Socket;
  head: Buffer;
  /** When what came before it on the connection is answered. */
  answered: Promise<void>;
  traceId: string;
}

/** What a connection is for: a new sandbox, or one that is there. */
type Wish =
  | { kind: "create" }
  | { kind: "connect"; id: string }
  | { kind: "ssh"; ref: string }
  | { kind: "import"; of: string; slug: string | null };

/** Answers a request for a WebSocket and, if it is granted, carries it until it ends. Never throws. */
export async function serveUpgrade(plane: ControlPlane, upgrade: Upgrade): Promise<void> {
  const { request, socket, head, answered, traceId } = upgrade;
  const early = new EarlyBytes(socket, head);
  await answered;
  const begun = performance.now();
  const { log, now } = plane.options;
  let route = "upgrade";
  let caller: Caller | undefined;
  try {
    const wish = findWish(plane, request);
    route = UPGRADES[wish.kind].path;
    if (plane.draining.aborted) throw new ApiError("SHUTTING_DOWN", "the server is going away");
    caller = authenticate(plane.options.tokens, request, now());
    requireScope(caller, wish.kind === "import" ? "volumes" : "sandboxes");
    const onJoined = (sandbox?: string): void => report(101, sandbox === undefined ? {} : { sandbox });
    await serveWish(plane, upgrade, { wish, caller, early, onJoined, onFailure });
  } catch (error) {
    const failure = early.signal.aborted
      ? new ApiError("CLIENT_GONE", "the client is gone", { cause: error })
      : toApiError(error);
    if (failure.status === 500) log.write("error", "failure", { trace: traceId, error: failureText(error) });
    report(failure.status, { code: failure.code });
    refuseSocket(socket, failure, traceId, { isOwn: request.headers[EXTENSIONS_HEADER] !== undefined });
  }

  function onFailure(failure: ApiError): void {
    if (failure.status === 500) log.write("error", "failure", { trace: traceId, error: failureText(failure) });
  }

  function report(status: number, more: { sandbox?: string; code?: string }): void {
    const seconds = (performance.now() - begun) / 1000;
    plane.metrics.request(route, status, seconds);
    log.write("info", "request", {
      ...{ trace: traceId, method: request.method ?? "", route, status, ms: Math.round(seconds * 1000) },
      ...{ organisation: caller?.organisation, token: caller?.tokenId },
      ...more,
    });
  }
}

interface Serving {
  wish: Wish;
  caller: Caller;
  early: EarlyBytes;
  /** When the client's bytes reach the sandbox. */
  onJoined: (id?: string) => void;
  /** What a connection that answers by itself has failed with. */
  onFailure: (error: ApiError) => void;
}

async function serveWish(plane: ControlPlane, upgrade: Upgrade, serving: Serving): Promise<void> {
  const { request, socket, traceId } = upgrade;
  const { wish, caller, early } = serving;
  const signal = AbortSignal.any([early.signal, plane.draining]);
  if (wish.kind === "ssh") {
    const tenant = await plane.tenants.open(caller.organisation);
    const { id, relay } = await openSshRelay(tenant, upgrade, { ref: wish.ref, early, signal });
    socket.setNoDelay(true).setKeepAlive(true, KEEP_ALIVE_MS).setTimeout(0);
    serving.onJoined(id);
    return plane.relays.track(relay, caller);
  }
  if (wish.kind === "import") {
    const tenant = await plane.tenants.open(caller.organisation);
    const { of: kind, slug } = wish;
    const connection = openImport(tenant, { ...upgrade, early, kind, slug, onFailure: serving.onFailure });
    socket.setKeepAlive(true, KEEP_ALIVE_MS).setTimeout(0);
    serving.onJoined(undefined);
    return plane.relays.track(connection, caller);
  }
  const handshake = handshakeFields(request);
  const tenant = await plane.tenants.open(caller.organisation);
  const created = wish.kind === "create" ? await create(plane, tenant, request, signal) : undefined;
  try {
    const id = created?.id ?? (await requireRunning(tenant, wish));
    const upstream = await tenant.runtime.openRpc(id, handshake, { signal });
    if (signal.aborted) upstream.destroy();
    signal.throwIfAborted();
    const relay = new Relay({ client: socket, early: early.release(), upstream, traceId });
    socket.setNoDelay(true).setKeepAlive(true, KEEP_ALIVE_MS).setTimeout(0);
    serving.onJoined(id);
    if (created?.livesWithSession === false) await created.release();
    await plane.relays.track(relay, caller);
  } catch (error) {
    // Nobody has learnt its name.
    await created?.remove().catch(() => undefined);
    throw error;
  }
  await created?.release();
}

async function create(
  plane: ControlPlane,
  tenant: Tenant,
  { headers }: IncomingMessage,
  signal: AbortSignal,
): Promise<CreatedSandbox> {
  const config = headers[CONFIG_HEADER];
  try {
    return await createSandbox(plane, tenant, typeof config === "string" ? config : undefined, signal);
  } catch (error) {
    if (plane.draining.aborted) throw new ApiError("SHUTTING_DOWN", "the server is going away", { cause: error });
    throw error;
  }
}

async function requireRunning(
  { runtime }: Tenant,
  wish: Extract<Wish, { kind: "create" | "connect" }>,
): Promise<string> {
  const info = await findSandbox(runtime, wish.kind === "connect" ? wish.id : "");
  if (info.status === "running" || info.status === "paused") return info.id;
  throw notRunning(info.id);
}

function findWish({ options }: ControlPlane, request: IncomingMessage): Wish {
  const url = requestUrl(request, options.config.publicUrl);
  const pathname = url?.pathname;
  if (pathname === UPGRADES.create.path) return { kind: "create" };
  const params = pathname === undefined ? undefined : matchPath(UPGRADES.connect.path, pathname);
  if (params?.id !== undefined) return { kind: "connect", id: params.id };
  const ssh = pathname === undefined ? undefined : matchPath(UPGRADES.ssh.path, pathname);
  if (ssh?.ref !== undefined) return { kind: "ssh", ref: ssh.ref };
  const disk = pathname === undefined ? undefined : matchPath(UPGRADES.import.path, pathname);
  if (disk?.kind !== undefined) return { kind: "import", of: disk.kind, slug: url?.searchParams.get("slug") ?? null };
  throw new ApiError("NOT_FOUND", "there is no WebSocket here");
}
