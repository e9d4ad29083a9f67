/**
 * What QEMU has of its own: its user-mode network (slirp), in a machine with the same kernel, disk, memory and CPUs as a
 * sandbox. The host's loopback is 10.0.2.2 there (QEMU documentation, "Using the user mode network stack").
 */
import { preparePlainMachine } from "../plain-machine.ts";
import type { Bench } from "../workbench.ts";
import { PeerClient, SERVER_NAME, type PeerServer, type PeerTarget } from "./peer.ts";

const GUEST_ADDRESS = "10.0.2.15/24";
const HOST_ADDRESS = "10.0.2.2";
const PROGRAM_PATH = "/run/bench-peer";
const CA_PATH = "/run/bench-ca.pem";

/** A guest that reaches the benchmarks' server, whatever is between the two. */
export interface NetworkGuest extends AsyncDisposable {
  readonly client: PeerClient;
  /** How the server's port is reached over TLS and plain HTTP, by name. */
  target(port: number): PeerTarget;
  /** A command as a user would type it; `ms` from outside. */
  time(...argv: string[]): Promise<number>;
  /** Options with which curl finds the server here. */
  curlOptions(port: number): string[];
}

export async function openUserNetworkMachine(bench: Bench, server: PeerServer): Promise<NetworkGuest> {
  bench.log("booting the machine with QEMU's user-mode network");
  const prepared = await preparePlainMachine(bench, {
    devices: ["-netdev", "user,id=net0", "-device", "virtio-net-device,netdev=net0"],
  });
  const machine = await prepared.boot();
  try {
    await machine.run("sh", "-ec", NETWORK_SCRIPT);
    await machine.put(server.programPath, PROGRAM_PATH);
    await machine.put(server.caPath, CA_PATH);
    // As in a sandbox, where the host's extra roots are the guest's too: reading all of them is much of curl's time.
    await machine.run("sh", "-c", `cat ${CA_PATH} >> /etc/ssl/certs/ca-certificates.crt`);
    const client = new PeerClient(await machine.start(...GUEST_CLIENT, PROGRAM_PATH, "client"));
    return {
      client,
      // A name server on the host, so that each new connection costs a lookup here as well.
      target: (port) => ({
        ...{ address: `${SERVER_NAME}:${port}`, ca: CA_PATH },
        dns: `${HOST_ADDRESS}:${server.ports.dns}`,
      }),
      async time(...argv) {
        const start = performance.now();
        await machine.run(...argv);
        return performance.now() - start;
      },
      curlOptions: (port) => ["--resolve", `${SERVER_NAME}:${port}:${HOST_ADDRESS}`],
      async [Symbol.asyncDispose]() {
        await client[Symbol.asyncDispose]();
        await machine[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await machine[Symbol.asyncDispose]();
    throw error;
  }
}

/**
 * All CPUs of an emulated machine take turns on one thread: a second one for the client, and the signals by which Go
 * interrupts itself, only cost. The agent runs in the same way. Without AES the client and its server agree on ChaCha20,
 * which takes 40 % less time under emulation, so that more of a transfer's time is the network's.
 */
export const GUEST_CLIENT = ["env", "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1,cpu.aes=off"] as const;

const NETWORK_SCRIPT = [
  "nic=$(ls /sys/class/net | grep -v '^lo$' | head -n 1)",
  `ip link set "$nic" up`,
  `ip address add ${GUEST_ADDRESS} dev "$nic"`,
  `ip route add default via ${HOST_ADDRESS}`,
].join("\n");
