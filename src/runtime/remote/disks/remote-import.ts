/** A disk file that is sent to a server (protocol/import-upgrade.ts). */
import type { Duplex } from "node:stream";
import { once } from "node:events";
import { CONTROL_PATH } from "../../../protocol/control-call.ts";
import { encodePieces, IMPORT_UPGRADE } from "../../../protocol/import-upgrade.ts";
import { EXTENSIONS_HEADER, EXTENSIONS_VERSION } from "../../../protocol/rpc-messages.ts";
import type { ImportSpec } from "../../disks.ts";
import type { CallOptions } from "../../types.ts";
import { type ControlClient } from "../control-client.ts";
import { readLines, resultOf } from "../line-reader.ts";
import { unsupported } from "../unsupported.ts";

/**
 * Sends all of the source; returns what the server says of what it made, which is still to be parsed.
 *
 * @throws SbxError `unsupported`, what the server refuses it with, `connection_closed`, and what the source throws
 */
export async function sendImport(
  client: ControlClient,
  kind: "volume" | "snapshot",
  source: AsyncIterable<Uint8Array>,
  { slug, onProgress, signal }: ImportSpec & CallOptions,
): Promise<{ value: unknown; url: URL }> {
  if (!(await client.offers(`${kind}.import`, signal === undefined ? {} : { signal }))) {
    throw unsupported(`${client.endpoints.name} takes no files as a ${kind}`, `sbx ${kind} create`);
  }
  const url = client.endpoints.api(`${CONTROL_PATH}/import/${kind}`);
  if (slug !== undefined) url.searchParams.set("slug", slug);
  const fields = { [EXTENSIONS_HEADER]: EXTENSIONS_VERSION };
  const { headers, stream, head } = await client.upgrade(url, IMPORT_UPGRADE, fields, signal);
  if (head.length > 0) stream.unshift(head);
  const sending: Sending = {};
  void send(stream, source, sending);
  try {
    return { value: await resultOf(readLines({ headers, body: stream }, url, signal), url, onProgress), url };
  } catch (error) {
    throw sending.failure ?? error;
  } finally {
    stream.destroy();
  }
}

interface Sending {
  /** What the source has failed with: then the connection ends because of it. */
  failure?: Error;
}

/** Never rejects. A source that gives nothing any more is left alone when the connection is gone. */
async function send(stream: Duplex, source: AsyncIterable<Uint8Array>, sending: Sending): Promise<void> {
  // Whoever waits for the answer is told what becomes of the connection.
  const closed = once(stream, "close").catch(() => undefined);
  stream.on("error", () => undefined);
  try {
    for await (const piece of encodePieces(source)) {
      if (stream.destroyed || stream.writableEnded) return;
      if (!stream.write(piece)) await Promise.race([once(stream, "drain"), closed]);
    }
  } catch (error) {
    if (stream.destroyed) return;
    sending.failure = error instanceof Error ? error : new Error(String(error));
    stream.destroy();
  }
}
