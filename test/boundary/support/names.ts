/**
 * The resolver of a closed network: what getaddrinfo on this machine is told. Names have the addresses that a test gives
 * them, in turns where there are several lists, as a rebinding resolver would answer. Everything it was asked is kept.
 */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { isIPv4 } from "node:net";

const TYPE = { a: 1, aaaa: 28 } as const;
const NXDOMAIN = 3;

export class NameServer implements AsyncDisposable {
  /** Names that were asked for, in order, each with its type. */
  readonly asked: { name: string; type: number }[] = [];
  readonly #names = new Map<string, { lists: string[][]; next: number }>();
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  static async start(): Promise<NameServer> {
    const socket = createSocket("udp4");
    const server = new NameServer(socket);
    socket.on("message", (query, peer) => socket.send(server.#answer(query), peer.port, peer.address));
    socket.bind(53, "127.0.0.1");
    await once(socket, "listening");
    return server;
  }

  /** Gives a name its addresses; with more lists than one, each answer takes the next. */
  set(name: string, ...lists: (string | string[])[]): void {
    this.#names.set(name, { lists: lists.map((list) => (typeof list === "string" ? [list] : list)), next: 0 });
  }

  /** The first address that it was given. */
  addressOf(name: string): string | undefined {
    return this.#names.get(name)?.lists[0]?.[0];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await once(this.#socket, "close");
  }

  #answer(query: Buffer): Buffer {
    const labels: string[] = [];
    let at = 12;
    for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
      labels.push(query.toString("latin1", at + 1, at + 1 + length));
      at += 1 + length;
    }
    const type = query.readUInt16BE(at + 1);
    const question = query.subarray(12, at + 5);
    const name = labels.join(".").toLowerCase();
    this.asked.push({ name, type });
    const entry = this.#names.get(name);
    const answers = entry === undefined ? [] : this.#records(entry, type);
    const head = Buffer.alloc(12);
    query.copy(head, 0, 0, 2);
    head.writeUInt16BE(0x8180 | (entry === undefined ? NXDOMAIN : 0), 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt16BE(answers.length, 6);
    return Buffer.concat([head, question, ...answers]);
  }

  #records(entry: { lists: string[][]; next: number }, type: number): Buffer[] {
    const list = entry.lists[entry.next % entry.lists.length] ?? [];
    // Both questions about a name belong to one look-up; the second one turns the list.
    if (type === TYPE.aaaa) entry.next += 1;
    return list.flatMap((address) => {
      const isOfType = isIPv4(address) ? type === TYPE.a : type === TYPE.aaaa;
      return isOfType ? [record(type, address)] : [];
    });
  }
}

/** A pointer to the question's name, type, class, a life of no seconds, and the address. */
function record(type: number, address: string): Buffer {
  const bytes = isIPv4(address) ? Buffer.from(address.split(".").map(Number)) : ipv6Bytes(address);
  const head = Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, 0, bytes.length]);
  return Buffer.concat([head, bytes]);
}

function ipv6Bytes(address: string): Buffer {
  const [left = "", right] = address.split("::");
  const groups = (text: string): number[] =>
    text === "" ? [] : text.split(":").map((part) => Number.parseInt(part, 16));
  const head = groups(left);
  const tail = right === undefined ? [] : groups(right);
  const all = [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => 0), ...tail];
  const bytes = Buffer.alloc(16);
  all.forEach((group, index) => bytes.writeUInt16BE(group, index * 2));
  return bytes;
}
