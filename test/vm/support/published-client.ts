/**
 * A client of the published protocol as another program would write it: JSON-RPC over WebSocket on the supervisor's
 * socket, base64 streams, none of sbx's extensions.
 */
import { WebSocket } from "ws";

interface Message {
  id?: number;
  result?: { ok?: unknown; error?: { constructorName: string; message: string; code?: string | null } };
  error?: { code: number; message: string };
  method?: string;
  params?: { streamId: number; data?: string; error?: unknown };
}

interface Incoming {
  chunks: Buffer[];
  ended: boolean;
  wake: () => void;
}

export class PublishedClient implements Disposable {
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly #socket: WebSocket;
  readonly #pending = new Map<number, (message: Message) => void>();
  readonly #streams = new Map<number, Incoming>();
  #nextId = 0;
  #nextStream = 0;

  private constructor(socket: WebSocket, headers: NodeJS.Dict<string | string[]>) {
    this.#socket = socket;
    this.headers = headers;
    socket.on("message", (data: Buffer, isBinary) => {
      if (isBinary) throw new Error("a client that did not ask for extensions got a binary message");
      this.#receive(JSON.parse(data.toString("utf8")) as Message);
    });
  }

  static async open(socketPath: string, id: string): Promise<PublishedClient> {
    const socket = new WebSocket(`ws+unix://${socketPath}:/api/v3/sandbox/${id}/connect`);
    return new Promise((resolve, reject) => {
      socket.once("upgrade", ({ headers }) => resolve(new PublishedClient(socket, headers)));
      socket.once("error", reject);
    }).then(async (client) => {
      if (socket.readyState !== WebSocket.OPEN) await new Promise((resolve) => socket.once("open", resolve));
      return client as PublishedClient;
    });
  }

  /** @throws Error with the class and message that the server sent */
  async call(method: string, params: Record<string, unknown> = {}): Promise<unknown> {
    const id = this.#nextId++;
    const answer = await new Promise<Message>((resolve) => {
      this.#pending.set(id, resolve);
      this.#send({ jsonrpc: "2.0", id, method, params });
    });
    if (answer.error !== undefined) throw new Error(`${answer.error.code}: ${answer.error.message}`);
    const failure = answer.result?.error;
    if (failure !== undefined)
      throw Object.assign(new Error(failure.message), { name: failure.constructorName, code: failure.code });
    return answer.result?.ok;
  }

  /** Starts a stream to the server; the id goes into the call that uses it. */
  startStream(): number {
    const streamId = this.#nextStream++;
    this.#send({ jsonrpc: "2.0", method: "$sandbox.stream.start", params: { streamId } });
    return streamId;
  }

  sendChunk(streamId: number, chunk: Buffer): void {
    this.#send({
      jsonrpc: "2.0",
      method: "$sandbox.stream.enqueue",
      params: { streamId, data: chunk.toString("base64") },
    });
  }

  endStream(streamId: number): void {
    this.#send({ jsonrpc: "2.0", method: "$sandbox.stream.end", params: { streamId } });
  }

  /** The pieces of a stream from the server, until it ends. */
  async *read(streamId: number): AsyncGenerator<Buffer> {
    const stream = this.#stream(streamId);
    for (;;) {
      const chunk = stream.chunks.shift();
      if (chunk !== undefined) yield chunk;
      else if (stream.ended) return;
      else await new Promise<void>((resolve) => (stream.wake = resolve));
    }
  }

  async readAll(streamId: number): Promise<Buffer> {
    const chunks: Buffer[] = [];
    for await (const chunk of this.read(streamId)) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }

  #send(message: object): void {
    this.#socket.send(JSON.stringify(message));
  }

  #stream(streamId: number): Incoming {
    const known = this.#streams.get(streamId);
    if (known !== undefined) return known;
    const stream = { chunks: [], ended: false, wake: () => undefined };
    this.#streams.set(streamId, stream);
    return stream;
  }

  #receive(message: Message): void {
    if (message.id !== undefined) {
      this.#pending.get(message.id)?.(message);
      this.#pending.delete(message.id);
      return;
    }
    const { streamId, data } = message.params ?? { streamId: -1 };
    const stream = this.#stream(streamId);
    if (message.method === "$sandbox.stream.enqueue") {
      if (data === undefined || data === "") throw new Error("an empty chunk kills the official client");
      stream.chunks.push(Buffer.from(data, "base64"));
    } else if (message.method !== "$sandbox.stream.start") {
      stream.ended = true;
    }
    stream.wake();
  }
}
