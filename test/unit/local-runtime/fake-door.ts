/** A supervisor's door for tests: HTTP on a Unix socket, with answers that the test gives. */
import { once } from "node:events";
import { createServer } from "node:http";
import path from "node:path";
import type { TestContext } from "node:test";
import { temporaryDirectory } from "../store/temporary-directory.ts";

export interface DoorRequest {
  method: string;
  target: string;
  body: unknown;
}

export interface FakeDoor {
  socketPath: string;
  /** Everything that was asked, in order. */
  requests: DoorRequest[];
  /** Answers by `METHOD target`; 404 for what is not among them. */
  answers: Map<string, (body: unknown) => { status?: number; body: unknown }>;
}

export async function openFakeDoor(t: TestContext): Promise<FakeDoor> {
  const door: FakeDoor = {
    socketPath: path.join(temporaryDirectory(t), "s.sock"),
    requests: [],
    answers: new Map(),
  };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const text = Buffer.concat(chunks).toString();
      const [method = "", target = ""] = [request.method, request.url];
      const body: unknown = text === "" ? null : JSON.parse(text);
      door.requests.push({ method, target, body });
      const notFound = { status: 404, body: { code: "NOT_FOUND", message: `there is nothing at ${target}` } };
      const answer = door.answers.get(`${method} ${target}`)?.(body) ?? notFound;
      response.writeHead(answer.status ?? 200, { "content-type": "application/json" });
      response.end(JSON.stringify(answer.body));
    });
  });
  server.listen(door.socketPath);
  await once(server, "listening");
  t.after(() => server.close());
  return door;
}
