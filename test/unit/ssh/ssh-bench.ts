/** An SSH server on a fake guest, and ssh2's client at its other end, in one process. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { PassThrough, Readable, Writable } from "node:stream";
import type { TestContext } from "node:test";
import { Client, type ConnectConfig } from "ssh2";
import { makeOpensshKey, type OpensshKey } from "../../../src/host/openssh-key.ts";
import type { SshAccount, SshAddress, SshExit, SshGuest, SshProcess, SshProcessSpec } from "../../../src/ssh/guest.ts";
import { parsePublicKey, type PublicKey } from "../../../src/ssh/public-key.ts";
import { SshServer, type AcceptOptions } from "../../../src/ssh/server.ts";

export const APP: SshAccount = { name: "app", home: "/home/app", shell: "/bin/bash" };

/** A program of the fake guest. */
export interface FakeProgram {
  spec: SshProcessSpec;
  stdin: PassThrough;
  stdout: PassThrough;
  stderr: PassThrough;
  signals: string[];
  sizes: { cols: number; rows: number }[];
  exit: (exit: Partial<SshExit>) => void;
}

export class FakeGuest implements SshGuest {
  readonly started: FakeProgram[] = [];
  readonly dialled: SshAddress[] = [];
  /** Runs what is started. */
  program: (program: FakeProgram) => void | Promise<void> = ({ stdout, stderr, exit }) => {
    stdout.end();
    stderr.end();
    exit({});
  };
  /** What answers connections and SFTP. */
  server: () => Duplex = () => {
    throw new Error("connection refused");
  };
  accountDelay: Promise<void> = Promise.resolve();

  async findAccount(name: string): Promise<SshAccount | undefined> {
    await this.accountDelay;
    return name === APP.name ? APP : undefined;
  }

  async start(spec: SshProcessSpec): Promise<SshProcess> {
    const end = Promise.withResolvers<SshExit>();
    const program: FakeProgram = {
      ...{ spec, stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() },
      ...{ signals: [], sizes: [] },
      exit: ({ code = 0, signal = null }) => end.resolve({ code, signal }),
    };
    this.started.push(program);
    if (spec.command === "no such shell") throw new Error("it cannot be started");
    void (async () => this.program(program))();
    return {
      ...{ stdin: program.stdin, stdout: program.stdout, exit: end.promise },
      stderr: spec.terminal === undefined ? program.stderr : undefined,
      signal: (name) => program.signals.push(name),
      resize: (size) => program.sizes.push(size),
    };
  }

  async connect(address: SshAddress): Promise<Duplex> {
    this.dialled.push(address);
    return this.server();
  }

  async openSftp(): Promise<Duplex> {
    return this.server();
  }
}

export interface Bench {
  guest: FakeGuest;
  server: SshServer;
  hostKey: OpensshKey;
  clientKey: OpensshKey;
  /** A raw connection to the server. */
  dial: (options?: AcceptOptions) => Promise<Socket>;
  /** An authenticated client. */
  client: (config?: ConnectConfig, onBanner?: (text: string) => void) => Promise<Client>;
}

export async function openBench(t: TestContext, options: { handshakeMs?: number } = {}): Promise<Bench> {
  const [hostKey, clientKey] = [makeOpensshKey("host"), makeOpensshKey("client")];
  const guest = new FakeGuest();
  const server = new SshServer({ guest, hostKey: hostKey.privateKey, ...options });
  const key = parsePublicKey(clientKey.publicKey) as PublicKey;
  let how: AcceptOptions = {};
  const listener = await listen(t, (socket) => server.accept(socket, key, how));
  const { port } = listener.address() as AddressInfo;
  const dial = async (accept: AcceptOptions = {}): Promise<Socket> => {
    how = accept;
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => undefined);
    t.after(() => socket.destroy());
    await once(socket, "connect");
    return socket;
  };
  const client: Bench["client"] = async (config = {}, onBanner = () => undefined) => {
    const made = new Client();
    t.after(() => made.destroy());
    const ready = Promise.withResolvers<undefined>();
    made.once("ready", () => ready.resolve(undefined));
    made.on("banner", onBanner);
    made.on("error", (error) => ready.reject(error));
    made.connect({
      sock: await dial(),
      username: "app",
      strictVendor: false,
      privateKey: clientKey.privateKey,
      ...config,
    });
    await ready.promise;
    return made;
  };
  return { guest, server, hostKey, clientKey, dial, client };
}

async function listen(t: TestContext, accept: (socket: Socket) => void): Promise<Server> {
  const server = createServer(accept);
  server.listen(0, "127.0.0.1");
  t.after(() => server.close());
  await once(server, "listening");
  return server;
}

export interface Finished {
  stdout: string;
  stderr: string;
  code: number | null;
  signal: string | undefined;
}

/** Runs a command to the end of its channel. */
export async function exec(client: Client, command: string, input = ""): Promise<Finished> {
  return new Promise((resolve, reject) => {
    client.exec(command, (error, channel) => {
      if (error !== undefined) {
        reject(error);
        return;
      }
      let [stdout, stderr] = ["", ""];
      channel.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
      channel.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
      channel.on("close", (code: number | null, signal?: string) => resolve({ stdout, stderr, code, signal }));
      channel.end(input);
    });
  });
}

/** Endless zeros, of which it counts how many were taken. */
export function zeros(): { stream: Readable; taken: () => number } {
  let taken = 0;
  const chunk = Buffer.alloc(64 * 1024);
  const stream = new Readable({
    highWaterMark: chunk.length,
    read() {
      taken += chunk.length;
      this.push(chunk);
    },
  });
  return { stream, taken: () => taken };
}

/** Takes nothing, ever. */
export function stuck(): Writable {
  return new Writable({ highWaterMark: 1, write: () => undefined });
}
