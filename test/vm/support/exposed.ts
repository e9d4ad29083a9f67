/** Requests to URLs of sandboxes, without asking the host's resolver, which need not know names under localhost. */
import { request, type IncomingMessage } from "node:http";
import type { TestHome } from "./test-home.ts";

export interface Answer {
  status: number;
  headers: IncomingMessage["headers"];
  trailers: IncomingMessage["trailers"];
  body: string;
  /** When each piece of the body came, `ms` from the first one. */
  times: number[];
}

export interface AskOptions {
  path?: string;
  method?: string;
  headers?: Record<string, string>;
  body?: Buffer;
  address?: string;
}

/** @throws Error when the connection fails */
export async function ask(url: string, options: AskOptions = {}): Promise<Answer> {
  const { host, port } = new URL(url);
  const { path = "/", method = "GET", headers = {}, body, address = "127.0.0.1" } = options;
  return new Promise((resolve, reject) => {
    const asked = request(
      { host: address, port, path, method, agent: false, headers: { host, ...headers } },
      (response) => {
        let text = "";
        const times: number[] = [];
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          text += chunk;
          times.push(performance.now());
        });
        response.on("error", reject);
        response.on("end", () => {
          const { statusCode: status = 0, headers: answered, trailers } = response;
          const [first = 0] = times;
          resolve({ status, headers: answered, trailers, body: text, times: times.map((time) => time - first) });
        });
      },
    );
    asked.on("error", reject);
    asked.end(body);
  });
}

/** Starts a script of this directory in a guest, in the background. */
export async function startScript(home: TestHome, id: string, name: string, ...args: readonly string[]): Promise<void> {
  await home.must(["copy", `${import.meta.dirname}/${name}`, `${id}:/tmp/${name}`]);
  const words = args.map((word) => `'${word}'`).join(" ");
  await home.bash(id, `nohup node /tmp/${name} ${words} </dev/null >/tmp/${name}.log 2>&1 &`);
}
