/**
 * The calls that carry a copy stream: `sbx.copySend` with `sbx.copyWait`, and `sbx.copyReceive`. A copy has two ends
 * and may fail at either; the error that counts is the one that came first, and of two views of it the sandbox's own
 * words, not what its stream looked like.
 */
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { RemoteError } from "../../protocol/rpc-error.ts";
import type { CopyStreamReport } from "../../protocol/rpc-methods-sbx.ts";
import { abortedError } from "../abort.ts";
import { SbxError } from "../errors.ts";
import type { CopyOptions } from "../runtime.ts";
import type { CopyEnd, GuestDestination, GuestSources } from "./copy-ends.ts";
import { guestError } from "./guest-errors.ts";

/**
 * Has a sandbox send a copy and hands the stream to `consume`.
 *
 * @throws SbxError what `consume` throws as one, `guest_error`, `aborted`, `connection_closed`
 */
export async function sendFromGuest<R>(
  end: CopyEnd,
  sources: GuestSources,
  options: CopyOptions,
  consume: (stream: Readable) => Promise<R>,
): Promise<{ result: R; report: CopyStreamReport }> {
  const { client } = end;
  const { signal } = options;
  if (!client.hasExtensions) return sendByCalls(end, sources, options, consume);
  const onLate = (late: { streamId: number }): void => client.refuseStream(late.streamId);
  const { paths, globs } = sources;
  const call = client.call("sbx.copySend", { paths, globs, ...account(options) }, { signal, onLate });
  const { streamId } = await inWords(call, end);
  const { stream } = client.openReadable(streamId);
  const waited = inWords(client.call("sbx.copyWait", { streamId }), end);
  // Looked at below; until then a failure must not count as unhandled.
  waited.catch(() => undefined);
  const stopWatching = destroyOnAbort(stream, signal);
  try {
    const result = await consume(stream);
    return { result, report: await waited };
  } catch (error) {
    stream.destroy();
    if (signal?.aborted === true) throw abortedError(signal, "the copy");
    if (error instanceof SbxError) throw error;
    // The stream broke off at the sandbox's end: its answer says why.
    await waited;
    throw copyError(error, end);
  } finally {
    stopWatching();
  }
}

/**
 * Has a sandbox receive the copy stream that `chunks` gives.
 *
 * @param onWritten told each chunk that may be changed again; a chunk may also never be
 * @throws whatever `chunks` throws, as it is; else SbxError `guest_error`, `aborted`, `connection_closed`
 */
export async function receiveInGuest(
  end: CopyEnd,
  chunks: AsyncIterable<Buffer>,
  destination: GuestDestination,
  options: CopyOptions,
  onWritten?: (chunk: Buffer) => void,
): Promise<CopyStreamReport> {
  const { client } = end;
  const { signal } = options;
  if (!client.hasExtensions) return receiveByCalls(end, chunks, destination, options, onWritten);
  const stream = client.openWritable();
  stream.onWritten = onWritten;
  const params = { destination: destination.path, directory: destination.directory, streamId: stream.streamId };
  const answer = inWords(client.call("sbx.copyReceive", { ...params, ...account(options) }), end);
  // A sandbox that refuses says so in its answer, at any time.
  answer.catch((error: unknown) => stream.destroy(error instanceof Error ? error : undefined));
  const source = new WatchedSource(chunks);
  const stopWatching = destroyOnAbort(stream, signal);
  try {
    await pipeline(source, stream);
    return await answer;
  } catch (error) {
    if (signal?.aborted === true) throw abortedError(signal, "the copy");
    if (source.hasFailed) throw source.failure;
    await answer;
    throw copyError(error, end);
  } finally {
    stopWatching();
  }
}

/** Where the server has no copies: by single calls, which each may fail. */
async function sendByCalls<R>(
  end: CopyEnd,
  sources: GuestSources,
  options: CopyOptions,
  consume: (stream: Readable) => Promise<R>,
): Promise<{ result: R; report: CopyStreamReport }> {
  const { needPublishedCopy, sendPublished } = await import("./published-copy.ts");
  needPublishedCopy(sources, options);
  const source = new WatchedSource(sendPublished(end.client, sources, options));
  const stream = Readable.from(source, { objectMode: false });
  try {
    return { result: await consume(stream), report: { entries: 0, bytes: 0, skipped: [] } };
  } catch (error) {
    if (options.signal?.aborted === true) throw abortedError(options.signal, "the copy");
    throw copyError(source.hasFailed ? source.failure : error, end);
  } finally {
    stream.destroy();
  }
}

async function receiveByCalls(
  end: CopyEnd,
  chunks: AsyncIterable<Buffer>,
  destination: GuestDestination,
  options: CopyOptions,
  onWritten: ((chunk: Buffer) => void) | undefined,
): Promise<CopyStreamReport> {
  const { needPublishedCopy } = await import("./published-copy.ts");
  const { receivePublished } = await import("./published-receive.ts");
  needPublishedCopy({ globs: false }, options);
  const source = new WatchedSource(chunks);
  try {
    return await receivePublished(end.client, source, destination, options, onWritten);
  } catch (error) {
    if (options.signal?.aborted === true) throw abortedError(options.signal, "the copy");
    if (source.hasFailed) throw source.failure;
    throw copyError(error, end);
  }
}

/** Tells a failure of the source from one of the stream that it is written to. */
class WatchedSource implements AsyncIterable<Buffer> {
  hasFailed = false;
  failure: unknown;
  readonly #chunks: AsyncIterable<Buffer>;

  constructor(chunks: AsyncIterable<Buffer>) {
    this.#chunks = chunks;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, undefined> {
    const iterator = this.#chunks[Symbol.asyncIterator]();
    try {
      for (let next = await this.#next(iterator); next.done !== true; next = await this.#next(iterator)) {
        yield next.value;
      }
    } finally {
      await iterator.return?.();
    }
  }

  async #next(iterator: AsyncIterator<Buffer>): Promise<IteratorResult<Buffer>> {
    try {
      return await iterator.next();
    } catch (error) {
      this.hasFailed = true;
      this.failure = error;
      throw error;
    }
  }
}

function account(options: CopyOptions): { user?: string } {
  return options.user === undefined ? {} : { user: options.user };
}

function destroyOnAbort(stream: { destroy: (error?: Error) => void }, signal: AbortSignal | undefined): () => void {
  const onAbort = (): void => stream.destroy(abortedError(signal, "the copy"));
  signal?.addEventListener("abort", onAbort, { once: true });
  return () => signal?.removeEventListener("abort", onAbort);
}

async function inWords<R>(call: Promise<R>, end: CopyEnd): Promise<R> {
  try {
    return await call;
  } catch (error) {
    throw copyError(error, end);
  }
}

function copyError(error: unknown, end: CopyEnd): SbxError {
  if (error instanceof RemoteError && error.detail.code === undefined && error.code === "ENOENT") {
    const where = error.detail.path === undefined ? "" : `: '${error.detail.path}'`;
    return new SbxError("guest_error", `no such file or directory in the sandbox${where}`, {
      cause: error,
      hint: `see what is there: sbx exec ${end.id} -- ls -la`,
    });
  }
  return guestError(error, "the copy");
}
