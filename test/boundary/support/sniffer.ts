/**
 * Counts what crosses the closed network: every packet on its one device, with where it went, and whether a canary was in
 * it. A guest has no card there; what is seen here is what sbx sent on its behalf, and the test's own servers.
 */
import { spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";

const SCRIPT = `
import json, socket, struct, sys, select
s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
canary = sys.argv[1].encode()
seen = {}
def note(key, packet):
    count = seen.setdefault(key, [0, 0, 0])
    count[0] += 1
    count[1] += len(packet)
    if canary in packet or canary.upper() in packet: count[2] += 1
print("ready", flush=True)
while True:
    ready, _, _ = select.select([s, sys.stdin], [], [])
    if s in ready:
        packet, address = s.recvfrom(65600)
        if address[2] == 4: continue  # each packet is seen going out and coming in: once is enough
        protocol = address[1]
        if protocol == 0x0800 and len(packet) >= 20:
            ihl = (packet[0] & 15) * 4; p = packet[9]
            to = socket.inet_ntop(socket.AF_INET, packet[16:20]); rest = packet[ihl:]
        elif protocol == 0x86dd and len(packet) >= 40:
            p = packet[6]; to = socket.inet_ntop(socket.AF_INET6, packet[24:40]); rest = packet[40:]
        else:
            note(("0x%04x" % protocol, "", 0), packet); continue
        name = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6"}.get(p, str(p))
        ports = struct.unpack("!HH", rest[:4]) if name in ("tcp", "udp") and len(rest) >= 4 else (0, 0)
        note((name, to, ports[1]), packet)
    elif sys.stdin in ready:
        if not sys.stdin.readline(): break
        print(json.dumps([list(k) + v for k, v in seen.items()]), flush=True)
`;

export interface Traffic {
  protocol: string;
  to: string;
  port: number;
  packets: number;
  bytes: number;
  /** Packets with the canary in them, in clear. */
  canaries: number;
}

export class Sniffer implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;

  private constructor(child: ChildProcessByStdio<Writable, Readable, null>) {
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  static async start(canary: string): Promise<Sniffer> {
    const child = spawn("python3", ["-c", SCRIPT, canary], { stdio: ["pipe", "pipe", "inherit"] });
    const sniffer = new Sniffer(child);
    await sniffer.#lines.next();
    return sniffer;
  }

  /** Everything so far. */
  async traffic(): Promise<Traffic[]> {
    this.#child.stdin.write("\n");
    const line = await this.#lines.next();
    const rows = JSON.parse(String(line.value)) as [string, string, number, number, number, number][];
    return rows.map(([protocol, to, port, packets, bytes, canaries]) => ({
      protocol,
      to,
      port,
      packets,
      bytes,
      canaries,
    }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    if (this.#child.exitCode === null) await once(this.#child, "exit");
  }
}
