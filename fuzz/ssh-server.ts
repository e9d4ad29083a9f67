/**
 * Fuzzes the SSH door: a client that is let in and then says anything, and one that says anything from the beginning.
 * Whatever comes, the server must neither throw nor hold on, and a well-behaved client beside it is served.
 */
import { generateKeyPairSync } from "node:crypto";
import { Duplex, PassThrough } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { makeOpensshKey } from "../src/host/openssh-key.ts";
import { Connection } from "../src/ssh/connection.ts";
import type { SshGuest, SshProcess } from "../src/ssh/guest.ts";
import { MAX_CHANNELS } from "../src/ssh/limits.ts";
import { encodePayload, MSG, ProtocolError, type Field } from "../src/ssh/payload.ts";
import { SshServer } from "../src/ssh/server.ts";
import type { SshTransport } from "../src/ssh/transport.ts";
import type { FuzzOptions } from "./corpus-files.ts";
import { SeededRandom } from "./seeded-random.ts";

const ACCOUNT = { name: "app", home: "/home/app", shell: "/bin/sh" };
const MESSAGES = Object.values(MSG);
const WORDS = [
  ...["session", "direct-tcpip", "direct-streamlocal@openssh.com", "x11", "shell", "exec", "subsystem", "sftp", "env"],
  ...["pty-req", "window-change", "signal", "INT", "no-more-sessions@openssh.com", "keepalive@openssh.com", "", "\0"],
];

/** A guest whose programs echo, or end at once, or do nothing. */
function guest(random: SeededRandom): SshGuest {
  const start = async (): Promise<SshProcess> => {
    if (random.chance(20)) throw new Error("no");
    const stdin = new PassThrough();
    const stdout = random.chance(50) ? stdin : new PassThrough();
    const exit = Promise.withResolvers<{ code: number; signal: null }>();
    if (random.chance(50)) exit.resolve({ code: 0, signal: null });
    if (random.chance(50)) stdout.end("bye");
    return { stdin, stdout, stderr: undefined, exit: exit.promise, signal: () => undefined, resize: () => undefined };
  };
  const connect = async (): Promise<Duplex> => {
    if (random.chance(30)) throw new Error("refused");
    return new PassThrough();
  };
  return { findAccount: async () => ACCOUNT, start, connect, openSftp: connect };
}

export async function fuzz({ seed, iterations }: FuzzOptions): Promise<void> {
  const random = new SeededRandom(seed);
  for (let index = 0; index < iterations; index++) {
    if (random.chance(10)) await strangerOnce(random);
    else await insiderOnce(random);
  }
}

/** A whole number, both bounds included. */
function between(random: SeededRandom, least: number, most: number): number {
  return least + random.below(most - least + 1);
}

/** Messages to a connection that has been let in, without a key exchange: as many as it takes. */
async function insiderOnce(random: SeededRandom): Promise<void> {
  let open = 0;
  let isOver = false;
  const transport = {
    get isOver() {
      return isOver;
    },
    hasRoom: true,
    writable: async () => undefined,
    send: () => undefined,
  } as unknown as SshTransport;
  const count = {
    take: () => (open += 1) <= MAX_CHANNELS,
    give: () => (open -= 1),
  };
  const connection = new Connection({ transport, guest: guest(random), account: ACCOUNT, count });
  try {
    for (let message = 0; message < 40; message++) {
      connection.message(randomPayload(random));
      if (random.chance(30)) await turn();
    }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
  }
  isOver = true;
  connection.end();
  for (let pause = 0; pause < 10; pause++) await turn();
  if (open !== 0) throw new Error(`${open} channels are left of a connection that is over`);
}

function randomPayload(random: SeededRandom): Buffer {
  if (random.chance(10)) return random.bytes(between(random, 1, 200));
  const fields: Field[] = [];
  // Mostly what opens channels and asks something of them.
  const likely = [MSG.channelOpen, MSG.channelRequest, MSG.channelData, MSG.channelClose, MSG.channelEof];
  const message = random.pick(random.chance(80) ? likely : MESSAGES);
  if (message === MSG.channelOpen) fields.push(random.pick(WORDS), between(random, 0, 3), 1 << 16, 1 << 15);
  else fields.push(between(random, 0, 3));
  for (let field = between(random, 0, 5); field > 0; field--) {
    const kind = between(random, 0, 3);
    if (kind === 0) fields.push(random.next());
    else if (kind === 1) fields.push(random.chance(50));
    else if (kind === 2) fields.push(random.pick(WORDS));
    else fields.push(random.bytes(between(random, 0, 64)));
  }
  const payload = encodePayload(message, ...fields);
  return random.chance(10) ? payload.subarray(0, between(random, 1, payload.length)) : payload;
}

const HOST_KEY = makeOpensshKey("fuzz").privateKey;
const KEY = { blob: Buffer.from("nobody has it"), key: generateKeyPairSync("ed25519").publicKey };

/** Bytes to a server that waits for a client to say who it is. */
async function strangerOnce(random: SeededRandom): Promise<void> {
  const server = new SshServer({ guest: guest(random), hostKey: HOST_KEY });
  const socket = new (class extends Duplex {
    override _read(): void {
      // Bytes are pushed.
    }
    override _write(_chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
      done();
    }
  })();
  server.accept(socket, KEY);
  if (random.chance(80)) socket.push(Buffer.from("SSH-2.0-fuzz\r\n"));
  for (let part = between(random, 1, 8); part > 0; part--) {
    const bytes = random.bytes(between(random, 1, 300));
    // A packet whose length makes sense gets further.
    if (random.chance(50) && bytes.length > 8) bytes.writeUInt32BE(between(random, 0, 40_000), 0);
    if (random.chance(50) && bytes.length > 8) bytes.writeUInt8(between(random, 4, 100), 5);
    if (!socket.destroyed) socket.push(bytes);
    await turn();
  }
  server.close("the end");
  for (let pause = 0; pause < 5; pause++) await turn();
  if (!server.hasRoom || !(socket.destroyed || socket.writableEnded)) throw new Error("a stranger is still there");
}
