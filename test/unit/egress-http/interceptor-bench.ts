/**
 * Requests a second and added latency of the interceptor, TLS on both legs, a secret replaced in a header of each.
 * `node scripts/node.mjs test/unit/egress-http/interceptor-bench.ts [REQUESTS]`. Client and upstream run in processes of their own.
 */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { Agent, request as startRequest } from "node:https";
import { connect as connectH2, type ServerHttp2Stream } from "node:http2";
import { connect as connectTls } from "node:tls";
import { PLACEHOLDER } from "./fake-secrets.ts";
import { HOST, startHarness, upstreamAuthority } from "./harness.ts";
import { http2Server, httpsServer } from "./servers.ts";

const ROLE = process.argv[2];
const BODY = Buffer.alloc(1024, "x");

interface Load {
  port: number;
  ca: string;
  version: "1.1" | "2";
  connections: number;
  requests: number;
}

interface Result {
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
}

if (ROLE === "upstream") await serve();
else if (ROLE === "client") await generate(JSON.parse(process.argv[3] ?? "{}") as Load);
else await main(Number(ROLE ?? 20_000));

async function serve(): Promise<void> {
  const h1 = await httpsServer((_request, response) => {
    response.writeHead(200, ["content-type", "text/plain", "content-length", String(BODY.length)]);
    response.end(BODY);
  });
  const h2 = await http2Server();
  h2.server.on("stream", (stream: ServerHttp2Stream) => {
    stream.respond({ ":status": 200, "content-type": "text/plain" });
    stream.end(BODY);
  });
  process.send?.({ h1: h1.port, h2: h2.port, ca: upstreamAuthority.certificatePem });
  process.on("disconnect", () => process.exit());
}

async function generate(load: Load): Promise<void> {
  const latencies: number[] = [];
  let left = load.requests;
  const one = load.version === "2" ? await h2Sender(load) : h1Sender(load);
  const worker = async (): Promise<void> => {
    while (left-- > 0) {
      const began = process.hrtime.bigint();
      await one();
      latencies.push(Number(process.hrtime.bigint() - began) / 1e6);
    }
  };
  const began = Date.now();
  await Promise.all(Array.from({ length: load.connections }, worker));
  const ms = Date.now() - began;
  latencies.sort((a, b) => a - b);
  const at = (share: number): number => latencies[Math.floor(latencies.length * share)] ?? 0;
  process.send?.({ perSecond: (load.requests / ms) * 1000, p50Ms: at(0.5), p99Ms: at(0.99) });
  process.disconnect?.();
  setImmediate(() => process.exit());
}

function h1Sender(load: Load): () => Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: load.connections });
  const headers = { host: HOST, authorization: `Bearer ${PLACEHOLDER}`, accept: "*/*", "user-agent": "bench" };
  const options = {
    host: "127.0.0.1",
    port: load.port,
    servername: HOST,
    ca: load.ca,
    agent,
    headers,
    path: "/v1/x?a=1",
  };
  return () =>
    new Promise((resolve, reject) => {
      startRequest(options, (response) => {
        if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`));
        response.resume();
        response.on("end", resolve);
      })
        .on("error", reject)
        .end();
    });
}

async function h2Sender(load: Load): Promise<() => Promise<void>> {
  const socket = connectTls({
    host: "127.0.0.1",
    port: load.port,
    servername: HOST,
    ca: load.ca,
    ALPNProtocols: ["h2"],
  });
  await once(socket, "secureConnect");
  const session = connectH2(`https://${HOST}`, { createConnection: () => socket });
  return () =>
    new Promise((resolve, reject) => {
      const stream = session.request({ ":path": "/v1/x?a=1", authorization: `Bearer ${PLACEHOLDER}` });
      stream.on("response", (headers) => {
        if (headers[":status"] !== 200) reject(new Error("not 200"));
      });
      stream.on("error", reject).on("end", resolve).resume();
    });
}

async function main(requests: number): Promise<void> {
  const upstream = fork(import.meta.filename, ["upstream"]);
  const [ports] = (await once(upstream, "message")) as [{ h1: number; h2: number; ca: string }];
  for (const version of (process.argv[3] ?? "1.1 2").split(" ") as ("1.1" | "2")[]) {
    const upstreamPort = version === "2" ? ports.h2 : ports.h1;
    for (const throughDuplex of [false, true]) {
      await using harness = await startHarness({ upstreamPort, upstreamCa: ports.ca, throughDuplex });
      const via = { port: harness.clientPort, ca: harness.ca, version };
      await run({ ...via, connections: 8, requests: 2000 });
      for (const connections of [1, 16]) {
        const cpu = process.cpuUsage();
        const direct = await run({ port: upstreamPort, ca: ports.ca, version, connections, requests });
        const cpuBefore = process.cpuUsage(cpu);
        const through = await run({ ...via, connections, requests });
        const used = process.cpuUsage(cpu);
        const microseconds = (used.user + used.system - cpuBefore.user - cpuBefore.system) / requests;
        const kind = throughDuplex ? "stream" : "socket";
        process.stdout.write(
          `HTTP/${version} ${kind} ×${connections}: ${through.perSecond.toFixed(0)}/s (direct ${direct.perSecond.toFixed(0)}/s), ` +
            `${microseconds.toFixed(0)} µs of CPU each, added p50 ${(through.p50Ms - direct.p50Ms).toFixed(2)} ms, ` +
            `p99 ${(through.p99Ms - direct.p99Ms).toFixed(2)} ms\n`,
        );
      }
    }
  }
  upstream.disconnect();
}

async function run(load: Load): Promise<Result> {
  const client: ChildProcess = fork(import.meta.filename, ["client", JSON.stringify(load)]);
  const [result] = (await once(client, "message")) as [Result];
  return result;
}
