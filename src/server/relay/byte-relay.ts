/** Joins two connections whose protocol nobody here speaks: bytes pass as they are, each way as fast as they are taken. */
import type { Duplex } from "node:stream";
import type { OpenConnection } from "./relays.ts";

export class ByteRelay implements OpenConnection {
  readonly closed: Promise<void>;
  readonly #client: Duplex;
  readonly #upstream: Duplex;

  /** @param early what the client has sent already */
  constructor(client: Duplex, early: Buffer, upstream: Duplex) {
    this.#client = client;
    this.#upstream = upstream;
    this.closed = new Promise((resolve) => {
      let open = 2;
      const onClose = (): void => {
        client.destroy();
        upstream.destroy();
        if (--open === 0) resolve();
      };
      client.once("close", onClose).on("error", () => undefined);
      upstream.once("close", onClose).on("error", () => undefined);
    });
    if (early.length > 0) upstream.write(early);
    client.pipe(upstream);
    upstream.pipe(client);
  }

  /** There is no word for goodbye that both ends would know. */
  close(): void {
    this.#client.destroy();
    this.#upstream.destroy();
  }
}
