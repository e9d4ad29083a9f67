/** ClientHellos as real clients send them and as nobody should. */
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { connect, type ConnectionOptions } from "node:tls";

export const HELLO_RECORD = 22;

export interface HelloParts {
  names?: readonly (readonly [type: number, name: Buffer])[];
  alpn?: readonly string[];
  extensions?: readonly (readonly [type: number, data: Buffer])[];
}

/** The first bytes that this Node sends as a TLS client. */
export async function captureHello(options: ConnectionOptions): Promise<Buffer> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not listening on a port");
  const client = connect({ ...options, host: "127.0.0.1", port: address.port });
  client.on("error", () => undefined);
  const [socket] = (await once(server, "connection")) as [Socket];
  socket.on("error", () => undefined);
  const [bytes] = (await once(socket, "data")) as [Buffer];
  client.destroy();
  socket.destroy();
  server.close();
  await once(server, "close");
  return bytes;
}

function vector(lengthBytes: 1 | 2 | 3, contents: Buffer): Buffer {
  const length = Buffer.alloc(lengthBytes);
  length.writeUIntBE(contents.length, 0, lengthBytes);
  return Buffer.concat([length, contents]);
}

export function serverNameExtension(names: readonly (readonly [type: number, name: Buffer])[]): Buffer {
  return vector(2, Buffer.concat(names.map(([type, name]) => Buffer.concat([Buffer.of(type), vector(2, name)]))));
}

/** A handshake message with these extensions in order. */
export function helloMessage({ names, alpn, extensions = [] }: HelloParts): Buffer {
  const all: (readonly [number, Buffer])[] = [...extensions];
  if (names !== undefined) all.push([0, serverNameExtension(names)]);
  if (alpn !== undefined) all.push([16, vector(2, Buffer.concat(alpn.map((name) => vector(1, Buffer.from(name)))))]);
  const encoded = all.map(([type, data]) => Buffer.concat([Buffer.of(type >> 8, type & 0xff), vector(2, data)]));
  const body = Buffer.concat([
    Buffer.of(3, 3),
    Buffer.alloc(32, 7),
    vector(1, Buffer.alloc(0)),
    vector(2, Buffer.of(0x13, 0x01)),
    vector(1, Buffer.of(0)),
    ...(encoded.length > 0 ? [vector(2, Buffer.concat(encoded))] : []),
  ]);
  return Buffer.concat([Buffer.of(1), vector(3, body)]);
}

/** @param recordBytes how much of the message goes into each record */
export function records(message: Buffer, recordBytes = 16_384): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < message.length; at += recordBytes) {
    parts.push(Buffer.concat([Buffer.of(HELLO_RECORD, 3, 1), vector(2, message.subarray(at, at + recordBytes))]));
  }
  return Buffer.concat(parts);
}

export function helloFor(name: string): Buffer {
  return records(helloMessage({ names: [[0, Buffer.from(name, "latin1")]] }));
}

/** A server's HelloRetryRequest (RFC 8446, 4.1.4), as far as anybody looks at it. */
export const RETRY_REQUEST = Buffer.concat([
  Buffer.of(HELLO_RECORD, 3, 3, 0, 44, 2, 0, 0, 40, 3, 3),
  Buffer.from("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c", "hex"),
  Buffer.alloc(6),
]);
