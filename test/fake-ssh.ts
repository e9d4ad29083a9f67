/** SSH of the fake runtime: connections are the ends of pairs, files are where a test says. */
import { Duplex, duplexPair as openPair } from "node:stream";
import type { KeyedSshConnection, SshApi, SshConnection, SshFiles, SshOpenOptions } from "../src/runtime/ssh.ts";

export class FakeSsh implements SshApi {
  /** The calls, in order. */
  readonly opened: { ref: string; options: SshOpenOptions }[] = [];
  /** The servers' ends of the connections. */
  readonly servers: Duplex[] = [];
  directoryPath = "/nowhere/ssh";
  /** Serves the sandbox's end of a connection for messages. */
  serve: (socket: Duplex) => void | Promise<void> = () => undefined;
  readonly #idOf: (ref: string) => Promise<string>;

  constructor(idOf: (ref: string) => Promise<string>) {
    this.#idOf = idOf;
  }

  async open(ref: string, options: SshOpenOptions): Promise<SshConnection> {
    const sandboxId = await this.#idOf(ref);
    this.opened.push({ ref, options });
    const [stream, server] = duplexPair();
    this.servers.push(server);
    return { sandboxId, stream };
  }

  async openWithKey(ref: string, { publicKey }: { publicKey: string }): Promise<KeyedSshConnection> {
    const { sandboxId, stream } = await this.open(ref, { hostName: publicKey });
    return { sandboxId, stream, hostKey: `ssh-ed25519 ${"A".repeat(68)}` };
  }

  async openMessages(ref: string): Promise<Duplex> {
    await this.#idOf(ref);
    const [stream, server] = openPair();
    await this.serve(server);
    return stream;
  }

  async files(): Promise<SshFiles> {
    const { directoryPath } = this;
    return {
      directoryPath,
      identityPath: `${directoryPath}/identity/id_ed25519`,
      knownHostsPath: `${directoryPath}/known_hosts`,
      serverKnownHostsPath: `${directoryPath}/known_hosts.servers`,
    };
  }
}

function duplexPair(): [Duplex, Duplex] {
  const ends: Duplex[] = [];
  for (const other of [1, 0]) {
    const end = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _encoding, done) => {
        ends[other]?.push(chunk);
        done();
      },
      final: (done) => {
        ends[other]?.push(null);
        done();
      },
    });
    ends.push(end);
  }
  return ends as [Duplex, Duplex];
}
