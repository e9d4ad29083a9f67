/** The streams from the server to one client: ids, cancels, credits, and their common end. */
import type { GuestReadable } from "../../guest/link.ts";
import type { SerializedError } from "../../protocol/rpc-error.ts";
import { callErrno } from "./call-error.ts";
import { type ChunkSource, OutgoingStream } from "./outgoing-stream.ts";
import type { RpcSocket } from "./rpc-socket.ts";
import { StreamIds } from "./stream-ids.ts";

/** Open streams of one connection. Each may hold a window of guest bytes. */
const MAX_STREAMS = 2048;

export class OutgoingStreams {
  readonly #socket: RpcSocket;
  readonly #extensions: boolean;
  readonly #ids = new StreamIds();
  readonly #streams = new Map<number, OutgoingStream>();
  #closed = false;

  constructor(socket: RpcSocket, extensions: boolean) {
    this.#socket = socket;
    this.#extensions = extensions;
  }

  /** @throws CallError if the connection has too many streams; the caller has to release the source then */
  assertRoom(count = 1): void {
    if (this.#streams.size + count > MAX_STREAMS) throw callErrno("EMFILE", `${this.#streams.size} open streams`);
  }

  /** Makes a stream that sends nothing before its `start`. On a connection that has gone it is abandoned at once. */
  open(source: ChunkSource): OutgoingStream {
    const stream = new OutgoingStream(this.#ids.next(), source, this.#socket, this.#extensions);
    if (this.#closed) {
      stream.abandon(CONNECTION_CLOSED);
      return stream;
    }
    this.#streams.set(stream.streamId, stream);
    void stream.done.then(() => this.#streams.delete(stream.streamId));
    return stream;
  }

  /** Ids that are not open are normal: the stream may have ended meanwhile. */
  cancel(streamId: number): void {
    this.#streams.get(streamId)?.cancel();
  }

  credit(streamId: number, bytes: number): void {
    this.#streams.get(streamId)?.credit(bytes);
  }

  /** Ends all streams with an error. Nothing can be opened any more. */
  close(error: SerializedError = CONNECTION_CLOSED): void {
    this.#closed = true;
    for (const stream of [...this.#streams.values()]) stream.abandon(error);
  }
}

const CONNECTION_CLOSED: SerializedError = {
  constructorName: "ConnectionReset",
  message: "The sandbox connection was closed",
};

/** Bytes of the guest as the source of a stream. */
export function fromGuest(readable: GuestReadable, whenAbandoned: "drain" | "destroy"): ChunkSource {
  return {
    chunks: { [Symbol.asyncIterator]: () => readable.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer> },
    whenAbandoned,
    destroy: () => readable.destroy(),
  };
}
