/** What a connection answers to messages that no ordinary client lets a test send. */
import assert from "node:assert/strict";
import { Duplex, PassThrough, Readable, Writable } from "node:stream";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { Connection } from "../../../src/ssh/connection.ts";
import type { SshExit, SshGuest, SshProcess } from "../../../src/ssh/guest.ts";
import { encodePayload, MSG, ProtocolError, type Field } from "../../../src/ssh/payload.ts";
import type { SshTransport } from "../../../src/ssh/transport.ts";

const ACCOUNT = { name: "app", home: "/home/app", shell: "/bin/bash" };
const WINDOW_BYTES = 1024 * 1024;
const DATA_BYTES = 32 * 1024;

function openConnection(guest: Partial<SshGuest>): {
  say: (message: number, ...fields: Field[]) => void;
  /** Numbers of the messages that were sent. */
  said: () => number[];
} {
  const sent: Buffer[] = [];
  const transport: Pick<SshTransport, "send" | "hasRoom" | "isOver" | "writable"> = {
    send: (payload) => void sent.push(payload),
    hasRoom: true,
    isOver: false,
    writable: async () => undefined,
  };
  const connection = new Connection({
    transport: transport as SshTransport,
    guest: guest as SshGuest,
    account: ACCOUNT,
    count: { take: () => true, give: () => undefined },
  });
  return {
    say: (message, ...fields) => connection.message(encodePayload(message, ...fields)),
    said: () => sent.map((payload) => payload[0] ?? 0),
  };
}

function makeProcess(stdout: Readable): SshProcess {
  const exit = Promise.withResolvers<SshExit>().promise;
  const nothing = (): void => undefined;
  return { stdin: new PassThrough(), stdout, stderr: Readable.from([]), exit, signal: nothing, resize: nothing };
}

test("requests are answered in the order in which they came, also where a later one is known first", async () => {
  const started = Promise.withResolvers<SshProcess>();
  const { say, said } = openConnection({ start: async () => started.promise });
  say(MSG.channelOpen, "session", 7, WINDOW_BYTES, DATA_BYTES);
  say(MSG.channelRequest, 0, "exec", true, "slow");
  say(MSG.channelRequest, 0, "something-new", true);
  await turn();
  assert.deepEqual(said(), [MSG.channelOpenConfirmation]);
  started.resolve(makeProcess(new PassThrough()));
  await turn();
  assert.deepEqual(said().slice(1), [MSG.channelSuccess, MSG.channelFailure]);
});

test("a client that asks on and on without an answer is hung up on", () => {
  const { say } = openConnection({ start: async () => Promise.withResolvers<SshProcess>().promise });
  say(MSG.channelOpen, "session", 7, WINDOW_BYTES, DATA_BYTES);
  say(MSG.channelRequest, 0, "exec", true, "slow");
  assert.throws(() => {
    for (let count = 0; count < 100; count++) say(MSG.channelRequest, 0, "something-new", true);
  }, ProtocolError);
});

test("a program whose output nobody reads any more is told so, before or after it started", async () => {
  for (const isEarly of [true, false]) {
    const stdout = new PassThrough();
    const { say } = openConnection({ start: async () => makeProcess(stdout) });
    say(MSG.channelOpen, "session", 7, WINDOW_BYTES, DATA_BYTES);
    say(MSG.channelRequest, 0, "exec", false, "yes");
    if (!isEarly) await turn();
    say(MSG.channelRequest, 0, "eow@openssh.com", false);
    await turn();
    assert.ok(stdout.destroyed);
  }
});

test("a port that there cannot be is refused to the one who asked for it", async () => {
  const { say, said } = openConnection({ connect: async () => new PassThrough() });
  say(MSG.channelOpen, "direct-tcpip", 7, WINDOW_BYTES, DATA_BYTES, "localhost", 0, "127.0.0.1", 5);
  say(MSG.channelOpen, "direct-tcpip", 8, WINDOW_BYTES, DATA_BYTES, "localhost", 80, "127.0.0.1", 5);
  await turn();
  assert.deepEqual(said(), [MSG.channelOpenFailure, MSG.channelOpenConfirmation]);
});

test("what a client sent before it closed reaches a server that is sending all the time", async () => {
  const taken: string[] = [];
  const server = new Duplex({
    read: () => void setImmediate(() => server.push("x".repeat(1000))),
    write: (chunk: Buffer, _encoding, done) => {
      taken.push(chunk.toString());
      setTimeout(done, 5);
    },
  });
  const { say } = openConnection({ connect: async () => server });
  say(MSG.channelOpen, "direct-tcpip", 7, WINDOW_BYTES, DATA_BYTES, "localhost", 80, "127.0.0.1", 5);
  await turn();
  for (const word of ["one", "two", "three"]) say(MSG.channelData, 0, word);
  say(MSG.channelClose, 0);
  await new Promise((resolve) => server.once("close", resolve));
  assert.equal(taken.join(" "), "one twothree");
});

test("what waits for a program is bytes in order, however many pieces they came in", async () => {
  const pieces: Buffer[] = [];
  const stdin = new Writable({
    highWaterMark: 1,
    write: (chunk: Buffer, _encoding, done) => {
      pieces.push(chunk);
      setImmediate(done);
    },
  });
  const started = Promise.withResolvers<SshProcess>();
  const { say } = openConnection({ start: async () => started.promise });
  say(MSG.channelOpen, "session", 7, WINDOW_BYTES, DATA_BYTES);
  say(MSG.channelRequest, 0, "exec", false, "cat");
  let sent = "";
  const drip = (count: number): void => {
    for (let index = 0; index < count; index++) {
      say(MSG.channelData, 0, String(index % 10));
      say(MSG.channelData, 0, "");
      sent += String(index % 10);
    }
  };
  drip(50_000);
  started.resolve({ ...makeProcess(new PassThrough()), stdin });
  await turn();
  drip(50_000);
  say(MSG.channelEof, 0);
  await new Promise((resolve) => stdin.once("finish", resolve));
  assert.equal(Buffer.concat(pieces).toString(), sent);
  assert.ok(pieces.length < 100, `${pieces.length} pieces`);
});

test("variables are taken up to a bound, and the program starts with those", async () => {
  const started = Promise.withResolvers<Readonly<Record<string, string>>>();
  const { say, said } = openConnection({
    start: async ({ env }) => {
      started.resolve(env);
      return Promise.resolve(makeProcess(new PassThrough()));
    },
  });
  say(MSG.channelOpen, "session", 7, WINDOW_BYTES, DATA_BYTES);
  for (const name of ["A", "B", "C"]) say(MSG.channelRequest, 0, "env", true, name, "x".repeat(60_000));
  say(MSG.channelRequest, 0, "exec", false, "true");
  assert.deepEqual(Object.keys(await started.promise), ["A", "B"]);
  assert.deepEqual(said().slice(1, 4), [MSG.channelSuccess, MSG.channelSuccess, MSG.channelFailure]);
});

test("a channel that its client has closed does not count for ever where the guest takes nothing", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const server = new Duplex({ read: () => undefined, write: () => undefined });
  const { say } = openConnection({ connect: async () => Promise.resolve(server) });
  say(MSG.channelOpen, "direct-tcpip", 7, WINDOW_BYTES, DATA_BYTES, "localhost", 80, "127.0.0.1", 5);
  await turn();
  say(MSG.channelData, 0, "an upload");
  say(MSG.channelClose, 0);
  t.mock.timers.tick(59_000);
  assert.equal(server.destroyed, false);
  t.mock.timers.tick(2_000);
  assert.equal(server.destroyed, true);
  assert.throws(() => say(MSG.channelData, 0, "more"), ProtocolError);
});
