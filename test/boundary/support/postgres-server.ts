/**
 * Enough of PostgreSQL's frontend/backend protocol 3.0 for the published client: TLS on request, a password in clear,
 * and one simple query after the other, each answered with one row that says what was asked.
 */
import { createServer, type Server, type Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { ServerIdentity } from "./test-authority.ts";

const SSL_REQUEST = 80877103;
const TEXT_TYPE_ID = 25;

export interface SeenSession {
  encrypted: boolean;
  user: string;
  password: string;
}

/** @param identity absent: TLS is refused, and the client goes on without where it may */
export function postgresServer(seen: SeenSession[], identity?: ServerIdentity): Server {
  return createServer((socket) => {
    new Session(seen, identity).serve(socket);
  });
}

class Session {
  readonly #seen: SeenSession[];
  readonly #identity: ServerIdentity | undefined;
  #user = "";

  constructor(seen: SeenSession[], identity: ServerIdentity | undefined) {
    this.#seen = seen;
    this.#identity = identity;
  }

  serve(socket: Socket): void {
    let pending = Buffer.alloc(0);
    let started = false;
    const onData = (chunk: Buffer): void => {
      pending = Buffer.concat([pending, chunk]);
      for (;;) {
        // The first message has no type, only a length.
        const head = started ? 1 : 0;
        if (pending.length < head + 4) return;
        const end = head + pending.readUInt32BE(head);
        if (pending.length < end) return;
        const [type, body] = [started ? String.fromCharCode(pending[0] ?? 0) : "", pending.subarray(head + 4, end)];
        pending = pending.subarray(end);
        if (!started && body.readUInt32BE(0) === SSL_REQUEST) {
          if (this.#answerTlsRequest(socket, onData)) return;
        } else if (!started) {
          started = true;
          this.#start(socket, body);
        } else this.#answer(socket, type, body);
      }
    };
    socket.on("data", onData);
  }

  /** Says N, or S and goes on inside TLS. */
  #answerTlsRequest(socket: Socket, onData: (chunk: Buffer) => void): boolean {
    if (this.#identity === undefined) {
      socket.write("N");
      return false;
    }
    socket.off("data", onData);
    socket.write("S");
    const encrypted = new TLSSocket(socket, { isServer: true, ...this.#identity });
    encrypted.on("error", () => undefined);
    this.serve(encrypted);
    return true;
  }

  #start(socket: Socket, body: Buffer): void {
    const words = body.toString("latin1", 4).split("\0");
    this.#user = words[words.indexOf("user") + 1] ?? "";
    // AuthenticationCleartextPassword.
    socket.write(message("R", uint32(3)));
  }

  #answer(socket: Socket, type: string, body: Buffer): void {
    const ready = message("Z", Buffer.from("I"));
    switch (type) {
      case "p": {
        const password = body.toString("latin1", 0, body.length - 1);
        this.#seen.push({ encrypted: socket instanceof TLSSocket, user: this.#user, password });
        socket.write(Buffer.concat([message("R", uint32(0)), ready]));
        return;
      }
      case "Q": {
        const query = body.subarray(0, body.length - 1);
        const field = [Buffer.from("asked\0"), uint32(0), uint16(0), uint32(TEXT_TYPE_ID), uint16(0xffff)];
        const description = message("T", Buffer.concat([uint16(1), ...field, uint32(0xffffffff), uint16(0)]));
        const row = message("D", Buffer.concat([uint16(1), uint32(query.length), query]));
        socket.write(Buffer.concat([description, row, message("C", Buffer.from("SELECT 1\0")), ready]));
        return;
      }
      case "X":
        socket.end();
        return;
      default:
        socket.destroy();
    }
  }
}

function message(type: string, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from(type), uint32(body.length + 4), body]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}
