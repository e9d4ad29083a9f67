/** A small app of Node's own HTTP server, as the rows on apps deploy, ask and end it. */
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import type { Bench } from "../workbench.ts";
import type { Served } from "./served.ts";

/** For everything to be over that the end of a machine before has begun, `ms`. */
const GONE_MS = 500;
export const ENTRYPOINT = "server.cjs";

/** @param answer what every request is answered with */
export function serverAnswering(answer: string): string {
  return `
const server = require("node:http").createServer((request, response) => response.end(${JSON.stringify(answer)}));
server.keepAliveTimeout = 600_000;
server.listen(Number(process.env.PORT), "127.0.0.1");
`;
}

export async function instancesOfApps({ runtime }: Bench): Promise<string[]> {
  const all = await runtime.list();
  return all.filter(({ status, labels }) => status === "running" && "sbx.revision" in labels).map(({ id }) => id);
}

export async function endInstances(bench: Bench): Promise<void> {
  for (const id of await instancesOfApps(bench)) await bench.runtime.remove(id);
  await sleep(GONE_MS);
}

/** On a connection of its own, through the gateway. @throws Error for any answer but 200 */
export async function askApp(app: string, { gatewayPort: port, authorityPath }: Served): Promise<string> {
  const host = `${app}.localhost`;
  const headers = { host: `${host}:${port}` };
  const ca = readFileSync(authorityPath);
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, servername: host, ca, headers, agent: false as const };
    request(options, (response) => {
      if (response.statusCode === 200) {
        text(response).then(resolve, reject);
        return;
      }
      response.resume();
      reject(new Error(`the app answers ${response.statusCode}`));
    })
      .once("error", reject)
      .end();
  });
}
