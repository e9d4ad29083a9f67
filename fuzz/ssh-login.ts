/**
 * Fuzzes what a control plane lets strangers say over SSH: bytes, packets, key exchanges that were a client's own before
 * they were changed, requests to authenticate, and frames of the other end. Whatever comes, the server must neither throw
 * nor hold on, and nobody is let in without a name.
 */
import type { Socket } from "node:net";
import { duplexPair, type Duplex } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { Client } from "ssh2";
import { makeOpensshKey } from "../src/host/openssh-key.ts";
import { ClientConnection } from "../src/server/ssh/client-connection.ts";
import { FramedLink } from "../src/ssh/framed-link.ts";
import { NameAuthentication } from "../src/ssh/name-authentication.ts";
import { encodePayload, MSG, ProtocolError, type Field } from "../src/ssh/payload.ts";
import type { SshTransport } from "../src/ssh/transport.ts";
import type { FuzzOptions } from "./corpus-files.ts";
import { SeededRandom } from "./seeded-random.ts";

const HOST_KEY = makeOpensshKey("fuzz").privateKey;
const NAME = "the name";
const IDENT = Buffer.from("SSH-2.0-fuzz\r\n");
const METHODS = ["none", "password", "publickey", "keyboard-interactive", "hostbased", ""];

export async function fuzz({ seed, iterations }: FuzzOptions): Promise<void> {
  const random = new SeededRandom(seed);
  const handshake = await recordHandshake();
  for (let index = 0; index < iterations; index++) {
    const kind = random.below(10);
    if (kind < 3) await strangerOnce(random, randomBytes(random));
    else if (kind < 6) await strangerOnce(random, [random.mutate(handshake)]);
    else if (kind < 8) await requestsOnce(random);
    else await framesOnce(random);
  }
}

/** What a client says until keys are exchanged. It depends on nothing that the server says. */
async function recordHandshake(): Promise<Buffer> {
  const [socket, far] = duplexPair();
  const said: Buffer[] = [];
  const connection = serve(socket, () => undefined);
  const client = new Client();
  const [near, clientSocket] = duplexPair();
  near.on("data", (chunk: Buffer) => {
    said.push(chunk);
    far.write(chunk);
  });
  far.on("data", (chunk: Buffer) => near.write(chunk));
  client.on("error", () => undefined);
  const exchanged = new Promise((resolve) => client.once("handshake", resolve));
  client.connect({ sock: clientSocket, username: "nobody" });
  await exchanged;
  client.destroy();
  connection.destroy("recorded");
  return Buffer.concat(said);
}

function serve(socket: Duplex, onEnd: () => void): ClientConnection {
  const bare = socket as Duplex & { bytesRead: number };
  bare.bytesRead = 0;
  return new ClientConnection({
    ...{ socket: bare as unknown as Socket, hostKey: HOST_KEY, loginMs: 60_000, refusalMs: 0, onEnd },
    open: async () => undefined,
    onJoined: () => {
      throw new Error("a stranger was let in");
    },
  });
}

function randomBytes(random: SeededRandom): Buffer[] {
  const parts: Buffer[] = random.chance(80) ? [IDENT] : [];
  for (let part = random.below(8) + 1; part > 0; part--) {
    const bytes = random.bytes(random.below(300) + 1);
    // A packet whose length makes sense gets further.
    if (random.chance(50) && bytes.length > 8) bytes.writeUInt32BE(random.below(40_000), 0);
    if (random.chance(50) && bytes.length > 8) bytes.writeUInt8(random.below(100) + 4, 5);
    parts.push(bytes);
  }
  return parts;
}

async function strangerOnce(random: SeededRandom, parts: readonly Buffer[]): Promise<void> {
  const [socket, far] = duplexPair();
  far.on("error", () => undefined).resume();
  let ends = 0;
  const connection = serve(socket, () => (ends += 1));
  for (const part of parts) {
    const cut = random.below(part.length);
    for (const piece of [part.subarray(0, cut), part.subarray(cut)]) if (!far.destroyed) far.write(piece);
    await turn();
  }
  connection.disconnect("the end");
  for (let pause = 0; pause < 3; pause++) await turn();
  if (ends !== 1) throw new Error(`a connection ended ${ends} times`);
}

/** Requests to authenticate: one name is let in, and no other. */
async function requestsOnce(random: SeededRandom): Promise<void> {
  let isLetIn = false as boolean;
  let isOver = false as boolean;
  const transport = {
    get isOver() {
      return isOver;
    },
    send: () => undefined,
    disconnect: () => (isOver = true),
  } as unknown as SshTransport;
  const asked: string[] = [];
  const authentication = new NameAuthentication({
    ...{ transport, refusalMs: 0 },
    open: async (name) => {
      asked.push(name);
      if (random.chance(10)) throw new Error("no room");
      return name === NAME ? { destroy: () => undefined } : undefined;
    },
    accepted: () => (isLetIn = true),
  });
  authentication.service("ssh-userauth");
  for (let message = 0; message < 20 && !isOver && !isLetIn; message++) {
    try {
      authentication.message(randomRequest(random));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      isOver = true;
    }
    if (random.chance(50)) await turn();
  }
  for (let pause = 0; pause < 3; pause++) await turn();
  if (isLetIn && !asked.includes(NAME)) throw new Error("somebody was let in without the name");
}

function randomRequest(random: SeededRandom): Buffer {
  if (random.chance(10)) return random.bytes(random.below(100) + 1);
  const fields: Field[] = [random.pick([NAME, "root", ""]), random.pick(["ssh-connection", "ssh-connection", "other"])];
  fields.push(random.pick(METHODS), random.chance(50), random.bytes(random.below(64)));
  const payload = encodePayload(random.chance(90) ? MSG.userauthRequest : random.below(256), ...fields);
  return random.chance(10) ? payload.subarray(0, random.below(payload.length) + 1) : payload;
}

async function framesOnce(random: SeededRandom): Promise<void> {
  const [socket, far] = duplexPair();
  far.on("error", () => undefined).resume();
  let ends = 0;
  const link = new FramedLink(socket, {
    onMessage: (payload) => {
      if (payload.length === 0) throw new Error("an empty message");
      if (random.chance(20)) link.send(payload);
      if (random.chance(5)) link.disconnect(11, "enough");
    },
    onEnd: () => (ends += 1),
  });
  for (let part = random.below(8); part >= 0; part--) {
    const bytes = random.bytes(random.below(200) + 4);
    if (random.chance(80)) bytes.writeUInt32BE(random.below(bytes.length));
    if (!far.destroyed) far.write(bytes);
    if (random.chance(50)) await turn();
  }
  link.close();
  for (let pause = 0; pause < 3; pause++) await turn();
  if (ends !== 1) throw new Error(`a link ended ${ends} times`);
}
