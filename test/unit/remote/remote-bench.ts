/** A remote runtime in front of a real control plane in this process, whose own runtime is one in memory. */
import type { TestContext } from "node:test";
import { SbxError } from "../../../src/runtime/errors.ts";
import type { ClientMachine } from "../../../src/runtime/client-machine.ts";
import { openRpcDoor } from "../../../src/runtime/local/rpc-door.ts";
import { openRemoteRuntime } from "../../../src/runtime/remote/index.ts";
import type { Runtime } from "../../../src/runtime/runtime.ts";
import { sandboxInfo } from "../../fake-runtime.ts";
import { startFakeServer, type FakeServer, type Methods } from "../rpc-client/fake-server.ts";
import { openBench, type ServerBench } from "../server/harness.ts";

export interface RemoteBench extends ServerBench {
  remote: Runtime;
  /** The supervisors' end of all connections to sandboxes. */
  sandboxes: FakeServer;
  machine: FakeMachine;
}

/** What a remote runtime asks of its user's machine. */
export class FakeMachine implements ClientMachine {
  readonly secrets = {} as ClientMachine["secrets"];
  values: Record<string, string> = {};
  readonly pinned: { hostName: string; key: string; sandboxId: string }[] = [];

  async grantSecrets(requests: Parameters<ClientMachine["grantSecrets"]>[0]) {
    return requests.map(({ name, hosts }) => ({ name, hosts: hosts ?? [], value: this.values[name] ?? "" }));
  }

  async planCopies(copies: Parameters<ClientMachine["planCopies"]>[0]): ReturnType<ClientMachine["planCopies"]> {
    return {
      async make(sandbox, options) {
        for (const { hostPath, guestPath } of copies) await sandbox.upload([hostPath], guestPath, options);
      },
    };
  }

  readonly copies: ClientMachine["copies"] = {
    list: async () => [],
    compare: async () => {
      throw new SbxError("folder_refused", "nothing was copied", { hint: "sbx copy" });
    },
  };

  readonly staged: string[] = [];

  async openStaging() {
    return {
      record: (path: string) => {
        this.staged.push(path);
        return { [Symbol.dispose]: () => this.staged.splice(this.staged.indexOf(path), 1) };
      },
      [Symbol.dispose]: () => undefined,
    };
  }

  async openSsh() {
    return {
      ...{ directoryPath: "/ssh", identityPath: "/ssh/id", knownHostsPath: "/ssh/known_hosts" },
      serverKnownHostsPath: "/ssh/known_hosts.servers",
      publicKey: `ssh-ed25519 ${"C".repeat(68)}`,
      pin: (host: { hostName: string; key: string; sandboxId: string }) => this.pinned.push(host),
    };
  }
}

export interface RemoteBenchOptions {
  config?: object;
  /** With the gateway. */
  withDoors?: boolean;
  methods?: Methods;
}

export async function openRemoteBench(
  t: TestContext,
  { config, methods, withDoors = false }: RemoteBenchOptions = {},
): Promise<RemoteBench> {
  const bench = await openBench(t, config, { withDoors });
  const sandboxes = await startFakeServer({
    methods: { "sbx.info": (_none, { request }) => infoOf(bench, request.url), ...methods },
  });
  t.after(async () => sandboxes[Symbol.asyncDispose]());
  bench.runtime.rpc = async (id, handshake) =>
    openRpcDoor({ socketPath: sandboxes.socketPath, id, handshake, signal: undefined });
  const machine = new FakeMachine();
  const remote = await openRemoteRuntime({ endpoint: bench.url, token: bench.token, machine });
  t.after(async () => remote[Symbol.asyncDispose]());
  return { ...bench, remote, sandboxes, machine };
}

function infoOf({ runtime }: ServerBench, url = ""): object {
  const { disks: _disks, ...info } = runtime.sandboxes.find(({ id }) => url.includes(id)) ?? sandboxInfo();
  return info;
}
