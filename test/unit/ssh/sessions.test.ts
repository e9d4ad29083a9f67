/** Sessions: what a client asks for arrives, what the guest says comes back, and a channel ends when all of it has. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { ClientChannel } from "ssh2";
import { exec, openBench, zeros } from "./ssh-bench.ts";

test("a command runs with the account's shell, and its output, errors and status come back apart", async (t) => {
  const { guest, client } = await openBench(t);
  guest.program = ({ stdin, stdout, stderr, exit }) => {
    stdin.pipe(stdout);
    stderr.end("a complaint");
    stdout.once("end", () => exit({ code: 7 }));
  };
  const done = await exec(await client(), "grep 'a b' $HOME", "what it reads");
  assert.deepEqual(done, { stdout: "what it reads", stderr: "a complaint", code: 7, signal: undefined });
  const [{ spec }] = guest.started as [(typeof guest.started)[0]];
  assert.equal(spec.command, "grep 'a b' $HOME");
  assert.equal(spec.terminal, undefined);
  assert.equal(spec.account.name, "app");
});

test("the end of a process is told only after all that it wrote", async (t) => {
  const { guest, client } = await openBench(t);
  guest.program = async ({ stdout, stderr, exit }) => {
    exit({ code: 3 });
    stderr.end();
    for (let line = 0; line < 100; line++) {
      stdout.write(`${line}\n`);
      await sleep(1);
    }
    stdout.end();
  };
  const { stdout, code } = await exec(await client(), "late");
  assert.equal(stdout.split("\n").length, 101);
  assert.equal(code, 3);
});

test("a signal that ended the process is told as such where SSH has a name for it", async (t) => {
  const { guest, client } = await openBench(t);
  const connection = await client();
  for (const [signal, code, expected] of [
    ["SIGTERM", 143, { code: null, signal: "SIGTERM" }],
    ["SIGBUS", 135, { code: 135, signal: undefined }],
  ] as const) {
    guest.program = ({ stdout, stderr, exit }) => {
      stdout.end();
      stderr.end();
      exit({ code, signal });
    };
    const done = await exec(connection, "dies");
    assert.deepEqual({ code: done.code, signal: done.signal }, expected);
  }
});

test("a terminal has the client's size and kind, follows its changes, and gets signals", async (t) => {
  const { guest, client } = await openBench(t);
  const started = Promise.withResolvers<undefined>();
  guest.program = () => started.resolve(undefined);
  const connection = await client();
  const channel = await new Promise<ClientChannel>((resolve, reject) => {
    const pty = { cols: 100, rows: 30, term: "xterm-256color" };
    connection.shell(pty, { env: { LANG: "C.UTF-8", "BAD-NAME": "x" } }, (error, made) => {
      if (error === undefined) resolve(made);
      else reject(error);
    });
  });
  await started.promise;
  const [program] = guest.started;
  assert.ok(program);
  assert.deepEqual(program.spec.terminal, { cols: 100, rows: 30 });
  assert.deepEqual(program.spec.env, { LANG: "C.UTF-8", TERM: "xterm-256color" });
  assert.equal(program.spec.command, undefined);
  channel.resume();
  channel.setWindow(50, 132, 0, 0);
  channel.signal("INT");
  while (program.sizes.length + program.signals.length < 2) await sleep(5);
  assert.deepEqual(program.sizes, [{ cols: 132, rows: 50 }]);
  assert.deepEqual(program.signals, ["SIGINT"]);
  program.stdout.end();
  program.exit({});
  await once(channel, "close");
});

test("what cannot be started is explained on stderr, and ends with ssh's own status", async (t) => {
  const { client } = await openBench(t);
  const { stderr, code } = await exec(await client(), "no such shell");
  assert.equal(stderr, "sbx: it cannot be started\r\n");
  assert.equal(code, 255);
});

test("stdout and stderr stay whole and apart when the client's window is full", async (t) => {
  const { guest, client } = await openBench(t);
  guest.program = async ({ stdout, stderr, exit }) => {
    for (const [stream, letter] of [
      [stdout, "o"],
      [stderr, "e"],
    ] as const) {
      void (async () => {
        for (let part = 0; part < 64; part++) {
          if (!stream.write(letter.repeat(100_000))) await once(stream, "drain");
        }
        stream.end();
      })();
    }
    exit({});
  };
  const { stdout, stderr } = await exec(await client(), "much of both");
  assert.equal(stdout.length, 6_400_000);
  assert.equal(stdout.replaceAll("o", ""), "");
  assert.equal(stderr.length, 6_400_000);
  assert.equal(stderr.replaceAll("e", ""), "");
});

test("a client that does not read stops the guest, and memory does not grow", async (t) => {
  const { guest, client } = await openBench(t);
  const source = zeros();
  guest.program = ({ stdout }) => void source.stream.pipe(stdout);
  const connection = await client();
  await new Promise<void>((resolve) => {
    connection.exec("yes", (_error, channel) => {
      channel.pause();
      resolve();
    });
  });
  let before = -1;
  while (source.taken() !== before) {
    before = source.taken();
    await sleep(100);
  }
  assert.ok(before < 8 * 1024 * 1024, `${before} bytes were taken`);
});

test("a client that goes away ends what it started", async (t) => {
  const { guest, client } = await openBench(t);
  const source = zeros();
  guest.program = ({ stdout }) => void source.stream.pipe(stdout);
  const connection = await client();
  await new Promise<void>((resolve) => connection.exec("yes", () => resolve()));
  const [program] = guest.started;
  assert.ok(program);
  connection.destroy();
  await Promise.all([once(program.stdout, "close"), once(program.stdin, "close")]);
});

test("many sessions share a connection, and one more than the limit is refused legibly", async (t) => {
  const { guest, client } = await openBench(t);
  guest.program = () => undefined;
  const connection = await client();
  const open = async (): Promise<Error | undefined> =>
    new Promise((resolve) => connection.exec("wait", (error) => resolve(error ?? undefined)));
  const outcomes = await Promise.all(Array.from({ length: 65 }, open));
  const refused = outcomes.filter((error) => error !== undefined);
  assert.equal(refused.length, 1);
  assert.match(String(refused[0]), /too many channels: a connection to a sandbox has up to 64/);
  for (const program of guest.started.splice(0)) {
    program.stdout.end();
    program.stderr.end();
    program.exit({});
  }
  while ((await open()) !== undefined) await sleep(10);
});

test("X11, agents and ports of the client's are refused", async (t) => {
  const { guest, client } = await openBench(t);
  guest.program = () => undefined;
  const connection = await client();
  const asked = [
    new Promise<Error | undefined>((resolve) =>
      connection.forwardIn("127.0.0.1", 0, (error) => resolve(error ?? undefined)),
    ),
    new Promise<Error | undefined>((resolve) =>
      connection.openssh_forwardInStreamLocal("/tmp/x", (error) => resolve(error ?? undefined)),
    ),
    new Promise<Error | undefined>((resolve) =>
      connection.exec("x", { x11: true }, (error) => resolve(error ?? undefined)),
    ),
    new Promise<Error | undefined>((resolve) => connection.subsys("netconf", (error) => resolve(error ?? undefined))),
  ];
  for (const error of await Promise.all(asked)) assert.ok(error instanceof Error);
});
