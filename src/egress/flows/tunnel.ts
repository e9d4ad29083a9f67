/**
 * Carries bytes between a guest and its upstream, untouched, both ways at once. Each end sees what the other does: the
 * end of one direction is that alone, a reset is a reset, and who reads slowly slows the other down. Chunks are handed
 * on as they are, never copied.
 *
 * By hand and not by `stream.pipeline`, which destroys both ends with the first one that fails and does not tell a
 * reset from an end. (Measured: as much CPU time a byte, and a fifth of it to set up and take down.)
 */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";

const NOTHING = Buffer.alloc(0);

export interface TunnelOptions {
  guest: Duplex;
  upstream: Socket;
  /** Sees each chunk of the guest first. One that must not be forwarded is dropped, and whoever says so cuts the tunnel. */
  mayForward: (chunk: Buffer) => boolean;
  /** Sees each chunk of the upstream; it is forwarded in any case. */
  onUpstreamChunk: (chunk: Buffer) => void;
  /** Called once, when both ends are closed. */
  onClosed: (brokenBy: "guest" | "upstream" | null) => void;
}

export class Tunnel {
  readonly #options: TunnelOptions;
  readonly #guest: Duplex;
  readonly #upstream: Socket;
  #sentBytes = 0;
  #receivedBytes = 0;
  #brokenBy: "guest" | "upstream" | null = null;
  #released = false;
  #guestClosed = false;
  #upstreamClosed = false;

  /** Carries what the upstream sends; what the guest sends waits for {@link release}. */
  constructor(options: TunnelOptions) {
    const { guest, upstream } = options;
    this.#options = options;
    this.#guest = guest;
    this.#upstream = upstream;
    upstream.allowHalfOpen = true;
    upstream.on("data", this.#onUpstreamData);
    guest.on("drain", this.#resumeUpstream);
    upstream.on("end", this.#endGuest);
    // What is wrong is told by "close"; without a listener an error would end the process.
    guest.on("error", ignoreError);
    upstream.on("error", ignoreError);
    guest.once("close", this.#onGuestClose);
    upstream.once("close", this.#onUpstreamClose);
    // The guest may have given up while its upstream was dialled; "close" is then over already.
    if (guest.closed) process.nextTick(this.#onGuestClose);
    if (upstream.closed) process.nextTick(this.#onUpstreamClose);
  }

  get sentBytes(): number {
    return this.#sentBytes;
  }

  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** Carries what the guest sends from now on. @param head what it has sent already */
  release(head: Buffer): void {
    if (this.#released) return;
    this.#released = true;
    if (head.length > 0) this.#forward(head);
    this.#guest.on("data", this.#onGuestData);
    this.#upstream.on("drain", this.#resumeGuest);
    this.#guest.on("end", this.#endUpstream);
    if (this.#guest.readableEnded) this.#endUpstream();
  }

  /** Lets go of the guest, which goes on with somebody else. The upstream is closed; {@link onClosed} is not called. */
  detachGuest(): void {
    this.#upstream.off("data", this.#onUpstreamData).off("end", this.#endGuest).off("close", this.#onUpstreamClose);
    this.#upstream.off("drain", this.#resumeGuest);
    this.#guest.off("drain", this.#resumeUpstream).off("close", this.#onGuestClose).off("error", ignoreError);
    this.#guest.off("data", this.#onGuestData).off("end", this.#endUpstream);
    this.#upstream.destroy();
  }

  /** Ends both sides at once. */
  cut(): void {
    this.#guest.destroy();
    reset(this.#upstream);
  }

  readonly #onUpstreamData = (chunk: Buffer) => {
    this.#receivedBytes += chunk.length;
    this.#options.onUpstreamChunk(chunk);
    if (!this.#guest.write(chunk)) this.#upstream.pause();
  };

  readonly #onGuestData = (chunk: Buffer) => {
    if (this.#options.mayForward(chunk)) this.#forward(chunk);
  };

  #forward(chunk: Buffer): void {
    this.#sentBytes += chunk.length;
    if (!this.#upstream.write(chunk)) this.#guest.pause();
  }

  readonly #resumeUpstream = () => void this.#upstream.resume();
  readonly #resumeGuest = () => void this.#guest.resume();
  readonly #endGuest = () => void this.#guest.end();
  readonly #endUpstream = () => {
    // Not before all is written: an end that waits behind data cannot be made a reset any more (see below).
    this.#upstream.write(NOTHING, (error) => {
      if (error === null || error === undefined) this.#upstream.end();
    });
  };

  readonly #onGuestClose = () => {
    this.#guestClosed = true;
    const { readableEnded, writableFinished } = this.#guest;
    if (!(readableEnded && writableFinished) && !this.#upstream.destroyed) {
      this.#brokenBy ??= "guest";
      reset(this.#upstream);
    }
    if (this.#upstreamClosed) this.#options.onClosed(this.#brokenBy);
  };

  readonly #onUpstreamClose = () => {
    this.#upstreamClosed = true;
    const { readableEnded, writableFinished } = this.#upstream;
    if (!(readableEnded && writableFinished) && !this.#guest.destroyed) {
      this.#brokenBy ??= "upstream";
      this.#guest.destroy();
    }
    if (this.#guestClosed) this.#options.onClosed(this.#brokenBy);
  };
}

function ignoreError(): void {
  // See the constructor.
}

/**
 * Closes so that the peer sees a reset. A connection inside TLS with a proxy can only be closed, and so can one whose
 * shutdown is under way: libuv refuses to reset it, and Node (26.10) then neither closes the socket nor says so.
 */
function reset(socket: Socket): void {
  const isShuttingDown = socket.writableEnded && !socket.writableFinished;
  if (socket instanceof TLSSocket || isShuttingDown) socket.destroy();
  else socket.resetAndDestroy();
}
