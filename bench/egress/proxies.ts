/**
 * What stands between a client and the benchmarks' server, each in a process of its own: mitmproxy with the same work to
 * do, and tinyproxy, which only carries bytes and so says what any hop costs at the least.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Bench } from "../workbench.ts";
import { comparisonProgram } from "./comparison-programs.ts";
import { SERVER_NAME, type PeerServer, type PeerTarget } from "./peer.ts";
import { freePort } from "../free-port.ts";

const START_DEADLINE_MS = 60_000;

/** For mitmproxy; of the length of sbx's own. */
const PLACEHOLDER = `DENO_SECRET_PLACEHOLDER_${"0123456789abcdef".repeat(4)}`;
/** Of the length and form of a key that people have. The server knows it too (peer/server.go). */
export const VALUE = "sk-bench-0123456789ABCDEF0123456789ABCDEF01234567";

/** A way to the server for the host's client. */
export interface Way extends AsyncDisposable {
  readonly target: PeerTarget;
}

/** What a client asks where a proxy puts the secret in. The server refuses it unless the value arrives. */
export function withPlaceholder(target: PeerTarget, placeholder: string): PeerTarget {
  return { ...target, path: "/secret", headers: { Authorization: `Bearer ${placeholder}` } };
}

/** What a client asks where nobody does: the same request as the server sees it. */
export function withValue(target: PeerTarget): PeerTarget {
  return { ...target, path: "/secret", headers: { Authorization: `Bearer ${VALUE}` } };
}

/** No proxy. */
export function straightTo({ ports, caPath }: PeerServer): PeerTarget {
  return withValue({ address: `127.0.0.1:${ports.https}`, name: SERVER_NAME, ca: caPath });
}

export async function startTinyproxy(bench: Bench, server: PeerServer): Promise<Way> {
  const program = await comparisonProgram("tinyproxy", (message) => bench.log(message));
  const port = await freePort();
  const configPath = path.join(bench.scratchPath, "tinyproxy.conf");
  const lines = [
    ...[`Port ${port}`, "Listen 127.0.0.1", "Allow 127.0.0.1", `ConnectPort ${server.ports.https}`],
    ...["MaxClients 100", "Timeout 600", "LogLevel Critical"],
  ];
  writeFileSync(configPath, `${lines.join("\n")}\n`);
  const child = spawn(program, ["-d", "-c", configPath], { stdio: ["ignore", "ignore", "inherit"] });
  await untilListening(child, port, "tinyproxy");
  return { target: { ...straightTo(server), via: `127.0.0.1:${port}` }, [Symbol.asyncDispose]: () => end(child) };
}

export async function startMitmproxy(bench: Bench, server: PeerServer): Promise<Way> {
  const program = await comparisonProgram("mitmdump", (message) => bench.log(message));
  const port = await freePort();
  const directory = path.join(bench.scratchPath, "mitmproxy");
  mkdirSync(directory, { recursive: true });
  const options = [`confdir=${directory}`, `ssl_verify_upstream_trusted_ca=${server.caPath}`, "flow_detail=0"];
  const child = spawn(
    program,
    [
      ...["--quiet", "--listen-host", "127.0.0.1", "--listen-port", String(port)],
      ...["-s", path.join(import.meta.dirname, "replace_secret.py")],
      ...options.flatMap((option) => ["--set", option]),
    ],
    {
      stdio: ["ignore", "ignore", "inherit"],
      env: { ...process.env, BENCH_PLACEHOLDER: PLACEHOLDER, BENCH_VALUE: VALUE, BENCH_HOST: SERVER_NAME },
    },
  );
  const ca = path.join(directory, "mitmproxy-ca-cert.pem");
  await untilListening(child, port, "mitmproxy");
  if (!existsSync(ca)) throw new Error(`mitmproxy left no certificate at ${ca}`);
  const address = `127.0.0.1:${server.ports.https}`;
  const target = withPlaceholder({ address, via: `127.0.0.1:${port}`, name: SERVER_NAME, ca }, PLACEHOLDER);
  return { target, [Symbol.asyncDispose]: () => end(child) };
}

async function untilListening(child: ChildProcess, port: number, name: string): Promise<void> {
  const deadline = performance.now() + START_DEADLINE_MS;
  while (!(await isListening(port))) {
    if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode} when it was started`);
    if (performance.now() > deadline) {
      await end(child);
      throw new Error(`${name} does not listen after ${START_DEADLINE_MS / 1000} s`);
    }
    await sleep(50);
  }
}

async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false; // Not yet.
  } finally {
    socket.destroy();
  }
}

export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}
