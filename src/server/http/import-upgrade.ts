/** Disk files of clients of sbx's own, on upgraded connections (protocol/import-upgrade.ts): few at a time, within quotas. */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { CONTROL_HEADER, CONTROL_VERSION } from "../../protocol/control-call.ts";
import { decodePieces, IMPORT_UPGRADE } from "../../protocol/import-upgrade.ts";
import { ApiError } from "../api-error.ts";
import { progressLines } from "../extensions/line-answer.ts";
import { importDisk, type ImportKind } from "../extensions/import-disk.ts";
import type { Tenant } from "../organisations/tenant.ts";
import type { OpenConnection } from "../relay/relays.ts";
import { TRACE_HEADER } from "./answers.ts";
import type { EarlyBytes } from "./early-bytes.ts";

/** A client that sends nothing for so long has gone, `ms`. */
const MAX_SILENCE_MS = 60_000;
/** What a client has to hear how it ended, `ms`. */
const LAST_WORDS_MS = 5000;
const MAX_AT_ONCE = 2;

const running = new WeakMap<Tenant, number>();

export interface ImportUpgrade {
  request: IncomingMessage;
  socket: Socket;
  traceId: string;
  early: EarlyBytes;
  kind: string;
  slug: string | null;
  /** Told what the client is told of a failure. */
  onFailure: (error: ApiError) => void;
}

/** @throws ApiError `UPGRADE_REQUIRED`, `NOT_FOUND`, `RATE_LIMITED` */
export function openImport(tenant: Tenant, upgrade: ImportUpgrade): OpenConnection {
  const { request, socket, early, kind, slug, traceId, onFailure } = upgrade;
  if (request.headers.upgrade?.toLowerCase() !== IMPORT_UPGRADE) {
    throw new ApiError("UPGRADE_REQUIRED", "this is the place of an import");
  }
  if (kind !== "volume" && kind !== "snapshot") throw new ApiError("NOT_FOUND", "there is nothing here");
  const count = running.get(tenant) ?? 0;
  if (count >= MAX_AT_ONCE) throw new ApiError("RATE_LIMITED", `at most ${MAX_AT_ONCE} imports run at one time`);
  running.set(tenant, count + 1);
  const received = early.release();
  const lines = [
    ...["HTTP/1.1 101 Switching Protocols", "connection: Upgrade", `upgrade: ${IMPORT_UPGRADE}`],
    ...[`${CONTROL_HEADER}: ${CONTROL_VERSION}`, `${TRACE_HEADER}: ${traceId}`],
  ];
  socket.write(`${lines.join("\r\n")}\r\n\r\n`);
  if (received.length > 0) socket.unshift(received);
  const ending = new AbortController();
  const closed = carry(tenant, socket, { kind, slug, ending: ending.signal, onFailure }).finally(() => {
    running.set(tenant, (running.get(tenant) ?? 1) - 1);
  });
  return { closed, close: (_code, reason) => ending.abort(new Error(reason)) };
}

interface Carried {
  kind: ImportKind;
  slug: string | null;
  ending: AbortSignal;
  onFailure: (error: ApiError) => void;
}

/** Never rejects. */
async function carry(tenant: Tenant, socket: Socket, { kind, slug, ending, onFailure }: Carried): Promise<void> {
  const gone = new AbortController();
  socket.once("close", () => gone.abort(new Error("the client is gone")));
  const signal = AbortSignal.any([gone.signal, ending]);
  try {
    const source = decodePieces(untilSilent(socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>));
    const run = async (onProgress: Parameters<Parameters<typeof progressLines>[0]>[0]): Promise<unknown> =>
      importDisk(tenant, { kind, slug, source }, { signal, onProgress });
    const options = { ending: signal, gone: gone.signal, onFailure, open: () => tenant.openStream() };
    await pipeline(Readable.from(progressLines(run, options)), socket);
  } catch {
    // The client is gone: the import has been told, and nothing of it stays.
  }
  // What it still sends is read and dropped: closing over it would take the last line back.
  socket.resume();
  const patience = new AbortController();
  if (!socket.closed) {
    const closed = new Promise((resolve) => socket.once("close", resolve));
    await Promise.race([closed, sleep(LAST_WORDS_MS, undefined, { signal: patience.signal }).catch(() => undefined)]);
  }
  patience.abort();
  socket.destroy();
}

async function* untilSilent(source: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  const iterator = source[Symbol.asyncIterator]();
  const leave = (): unknown => void iterator.return?.();
  using _left = { [Symbol.dispose]: leave };
  for (;;) {
    const timer = Promise.withResolvers<never>();
    const timeout = setTimeout(() => timer.reject(new Error("the client says nothing any more")), MAX_SILENCE_MS);
    try {
      const next = await Promise.race([iterator.next(), timer.promise]);
      if (next.done === true) return;
      yield next.value;
    } finally {
      clearTimeout(timeout);
    }
  }
}
