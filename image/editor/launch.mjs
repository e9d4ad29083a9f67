/**
 * Starts and ends VS Code in the guest; runs there, as the sandbox's user, with the Node beside it:
 *
 *     launch.mjs '{"action":"start","gallery":false}'   prints {"port":N,"token":"…","isNew":true}
 *     launch.mjs '{"action":"stop"}'                    prints {"stopped":true}
 *     launch.mjs '{"action":"serve",…}'                 stays, and is the server: its output and its end; the port, as a line,
 *                                                       goes to descriptor 3 (src/protocol/editor-launch.ts)
 *
 * What it knows of a server that runs is in the user's directory, so that it is right in a copy of the sandbox, too.
 * A token stays for as long as that directory: a page that is open finds the server again after a restart.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { request } from "node:http";
import { createServer } from "node:net";
import { homedir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const HERE = import.meta.dirname;
const SERVER = path.join(HERE, "code-server/lib/vscode/out/server-main.js");
const DATA = path.join(homedir(), ".local/share/sbx-code");
const STATE = path.join(DATA, "server.json");
const TOKEN = path.join(DATA, "token");
const LOG = path.join(DATA, "server.log");
const SETTINGS = path.join(DATA, "data/User/settings.json");
const START_LIMIT_MS = 150_000;
const STOP_LIMIT_MS = 5_000;
const POLL_MS = 50;
/** An empty one: VS Code then offers no extensions of a marketplace. */
const NO_GALLERY = JSON.stringify({ serviceUrl: "" });

const call = JSON.parse(process.argv[2] ?? "{}");
process.umask(0o077);
if (call.action === "serve") await serve(call);
else {
  const answer = call.action === "stop" ? await stop() : await start(call.gallery === true);
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

async function start(hasGallery) {
  const running = findServer();
  if (running !== undefined && (await responds(running.port, "/version"))) return { ...running, isNew: false };
  if (running !== undefined) await stop();
  prepare();
  const token = readToken();
  const child = spawnServer([...options(await freePort()), "--connection-token-file", TOKEN], hasGallery, {
    // A group of its own, by which all of it is found again.
    detached: true,
    stdio: ["ignore", openSync(LOG, "w", 0o600), openSync(LOG, "a", 0o600)],
  });
  child.unref();
  const failed = new Promise((_, reject) => child.once("error", reject).once("exit", () => reject(new Error(tail()))));
  const port = await Promise.race([untilListening(), failed]);
  const server = { pid: child.pid, startTicks: startTicks(child.pid), port, token };
  writeFileSync(STATE, JSON.stringify(server));
  // The server loads most of itself with the first request: that should not be the page's.
  await Promise.race([responds(port, `/?tkn=${token}`), failed]);
  return { ...server, isNew: true };
}

/** In the group of this process: who ends one, ends both. */
async function serve({ gallery, folder, extensions, settings, preview }) {
  prepare();
  if (Object.keys(settings).length > 0)
    writeFileSync(SETTINGS, JSON.stringify({ ...readSettings(), ...settings }, null, 2));
  const wanted = extensions.flatMap((extension) => ["--install-extension", extension]);
  const more = [
    "--without-connection-token",
    "--default-folder",
    folder,
    ...(wanted.length > 0 ? ["--start-server"] : []),
  ];
  const child = spawnServer([...options(0), ...more, ...wanted], gallery, {
    stdio: ["ignore", "pipe", "inherit"],
    env: preview === null ? {} : { SBX_CODE_PREVIEW: preview },
  });
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  let said = "";
  let isTold = false;
  child.stdout.on("data", (chunk) => {
    process.stdout.write(chunk);
    if (isTold) return;
    said += chunk;
    const port = /listening on (\d+)\s/.exec(said)?.[1];
    if (port === undefined) return;
    isTold = true;
    // As in `start`.
    void responds(Number(port), "/").then(() => {
      writeSync(3, `${port}\n`);
      closeSync(3);
    });
  });
  child.once("error", (error) => {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  });
  child.once("exit", (code, signal) => {
    if (signal === null) process.exit(code);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

/**
 * The user's profile counts, as in a terminal. VS Code would read it itself, and for that start a shell that starts a
 * Node, of which an emulated machine does not see the end within its ten seconds; VSCODE_CLI says that it is done.
 */
function spawnServer(flags, hasGallery, { env = {}, ...more }) {
  const argv = ["-lc", 'exec "$@"', "bash", process.execPath, SERVER, ...flags];
  const gallery = hasGallery ? {} : { EXTENSIONS_GALLERY: NO_GALLERY };
  return spawn("bash", argv, { cwd: homedir(), ...more, env: { ...process.env, VSCODE_CLI: "1", ...gallery, ...env } });
}

/** What is there; a user's own may have comments, and is then replaced by what was asked for. */
function readSettings() {
  try {
    return JSON.parse(readFileSync(SETTINGS, "utf8"));
  } catch {
    return {};
  }
}

function options(port) {
  const fixed = ["--accept-server-license-terms", "--telemetry-level", "off"];
  return ["--host", "127.0.0.1", "--port", String(port), "--server-data-dir", DATA, ...fixed];
}

function prepare() {
  mkdirSync(path.dirname(SETTINGS), { recursive: true, mode: 0o700 });
  try {
    copyFileSync(path.join(HERE, "settings.json"), SETTINGS, 1 /* COPYFILE_EXCL: the user's own stay */);
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
  }
}

function readToken() {
  try {
    const token = readFileSync(TOKEN, "utf8");
    if (/^[\w-]{32}$/.test(token)) return token;
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
  }
  const token = randomBytes(24).toString("base64url");
  writeFileSync(TOKEN, token, { mode: 0o600 });
  return token;
}

/** The port that it had before, so that its URL stays; any if that is taken, or there was none. */
async function freePort() {
  const port = readState()?.port ?? 0;
  const probe = createServer();
  return new Promise((resolve) => {
    probe.once("error", () => resolve(0));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(port)));
  });
}

async function untilListening() {
  const deadline = Date.now() + START_LIMIT_MS;
  while (Date.now() < deadline) {
    const port = /listening on (\d+)/.exec(readFileSync(LOG, "utf8"))?.[1];
    if (port !== undefined) return Number(port);
    await sleep(POLL_MS);
  }
  throw new Error(`it did not listen within ${START_LIMIT_MS / 1000} s; ${tail()}`);
}

function tail() {
  return readFileSync(LOG, "utf8").trim().slice(-2000);
}

/** The server that was started last, if it runs. */
function findServer() {
  const last = readState();
  return last?.startTicks !== undefined && startTicks(last.pid) === last.startTicks ? last : undefined;
}

function readState() {
  try {
    const { pid, startTicks, port, token } = JSON.parse(readFileSync(STATE, "utf8"));
    return { pid, startTicks, port, token };
  } catch {
    return undefined; // There was none.
  }
}

/** Field 22 of proc_pid_stat(5): with it a pid names one process for good. */
function startTicks(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    return text.slice(text.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}

function responds(port, target) {
  return new Promise((resolve) => {
    const limits = { host: "127.0.0.1", port, path: target, agent: false, timeout: START_LIMIT_MS };
    const sent = request(limits, (response) => response.resume().once("end", () => resolve(true)));
    sent
      .once("error", () => resolve(false))
      .once("timeout", () => sent.destroy())
      .end();
  });
}

async function stop() {
  const running = findServer();
  if (running !== undefined) await end([-running.pid], "SIGTERM");
  // What has left the group but runs programs of this disk, which could not be taken away otherwise.
  const rest = usersOfDisk();
  if (rest.length > 0) await end(rest, "SIGKILL");
  return { stopped: running !== undefined };
}

async function end(targets, signal) {
  for (const target of targets) send(target, signal);
  const deadline = Date.now() + STOP_LIMIT_MS;
  while (targets.some((target) => send(target, 0))) {
    if (Date.now() > deadline) {
      for (const target of targets) send(target, "SIGKILL");
      return;
    }
    await sleep(POLL_MS);
  }
}

function send(target, signal) {
  try {
    return process.kill(target, signal);
  } catch {
    return false; // It is gone.
  }
}

function usersOfDisk() {
  return readdirSync("/proc").flatMap((name) => {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) return [];
    try {
      return readlinkSync(`/proc/${pid}/exe`).startsWith(`${HERE}/`) ? [pid] : [];
    } catch {
      return []; // Somebody else's, or gone.
    }
  });
}
