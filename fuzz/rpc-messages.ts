/** Requests and notifications for the RPC fuzzer: mostly of the right shape, with values that are not. */
import { RPC_METHODS } from "../src/protocol/rpc-methods.ts";
import type { SeededRandom } from "./seeded-random.ts";

export interface MessageMaker {
  nextId: number;
  /** Whether envelopes may be wrong: the server closes on the first that is. */
  isWild: boolean;
}

const METHODS = Object.keys(RPC_METHODS);
const NOTIFICATIONS = ["start", "enqueue", "end", "error", "cancel"].map((word) => `$sandbox.stream.${word}`);
const TEXTS = [
  "a",
  "b",
  "/",
  "..",
  "/x\u0000y",
  "\u202e",
  "héllo",
  "-x",
  "x".repeat(5000),
  "$HOME",
  "(",
  "(a+)+$",
  "**",
  "{a,[b",
];
const NUMBERS = [0, 1, 2, 3, 5, -1, 1.5, 65_535, 2 ** 31, 2 ** 48 - 1, 2 ** 53, 1e300];
/** Names that params have; most calls find what they need among them. */
const TEXT_PARAMS =
  "path oldPath newPath fromPath toPath target name key value command glob root code fn destination entrypoint cwd".split(
    " ",
  );
const NUMBER_PARAMS = "mode length len mask maxDepth port cols rows uid gid".split(" ");
const STREAM_PARAMS = ["contentStreamId", "stdinStreamId", "bodyStreamId", "streamId"];
const FLAG_PARAMS = "recursive exclusive clearEnv globs directory watch followSymlinks includeDirs globstar".split(" ");
/** Of each pair, most calls want exactly one. */
const ALTERNATIVES = [
  ["code", "entrypoint"],
  ["content", "contentStreamId"],
] as const;
const ISO = "2001-02-03T04:05:06.789Z";

/** What later calls can build on: a file, processes, a REPL. */
export function makePrelude(random: SeededRandom, maker: MessageMaker): unknown[] {
  const stdio = { stdout: "piped", stderr: "piped" };
  const calls: [string, unknown][] = [
    ["open", { path: "a", options: { read: true, write: true } }],
    ["spawn", { command: "x", stdinStreamId: random.below(6), ...stdio }],
    ["spawnDenoRepl", stdio],
    ["spawnDeno", { entrypoint: "x.ts", watch: true, ...stdio }],
  ];
  return calls.map(([method, params]) => ({ jsonrpc: "2.0", id: maker.nextId++, method, params }));
}

/** A JSON value to send; ids count upwards, as every client's do. */
export function makeMessage(random: SeededRandom, maker: MessageMaker): unknown {
  if (random.chance(30)) return makeNotification(random, maker);
  const id = !maker.isWild || random.chance(95) ? maker.nextId++ : random.pick([null, "text", 1.5, {}]);
  const method = random.chance(97) ? random.pick(METHODS) : random.pick(["nope", "constructor", "__proto__"]);
  const params = random.chance(97) ? makeParams(random) : random.pick([null, [], 1, "x"]);
  return { jsonrpc: "2.0", id, method, params };
}

function makeNotification(random: SeededRandom, { isWild }: MessageMaker): unknown {
  const params = {
    streamId: !isWild || random.chance(90) ? random.below(6) : random.pick(NUMBERS),
    data: !isWild || random.chance(80) ? random.bytes(random.below(60)).toString("base64") : random.pick(TEXTS),
    error: random.pick([null, "text", { constructorName: "TypeError", message: "m" }]),
    reason: null,
    bytes: isWild ? random.pick(NUMBERS) : 1 + random.below(100_000),
  };
  const method = random.chance(90) ? random.pick(NOTIFICATIONS) : "$sbx.stream.credit";
  return { jsonrpc: "2.0", method, params };
}

/** Params of all methods at once: unknown ones are ignored, so a good part of the calls gets through. */
function makeParams(random: SeededRandom): Record<string, unknown> {
  const params: Record<string, unknown> = {
    pid: random.pick([1, 1, 2, 3, 99]),
    fileHandleId: random.pick([1, 1, 2, 7]),
    abortId: random.pick([0, 1]),
    stdout: random.pick(["piped", "piped", "null"]),
    stderr: random.pick(["piped", "null"]),
    args: [random.pick(TEXTS), random.pick(TEXTS)],
    paths: [random.pick(TEXTS)],
    env: { [random.pick(TEXTS)]: random.pick(TEXTS) },
    data: random.bytes(random.below(30)).toString("base64"),
    content: random.pick(["", "eA==", "eA==", "*"]),
    offset: random.pick([0, "12", "-3", "99999999999999999999"]),
    whence: random.below(3),
    atime: ISO,
    mtime: random.chance(95) ? ISO : "never",
    signal: random.pick(["SIGTERM", "SIGNOPE", null]),
    url: random.pick(["http://127.0.0.1:1000/", "ftp://x/", "nonsense", "https://[::1]/"]),
    method: random.pick(["GET", "POST", "POST", "b d"]),
    headers: [["x-a", random.pick(TEXTS)]],
    redirect: random.pick(["follow", "manual"]),
    match: [{ source: random.pick(TEXTS), flags: random.pick(["", "", "i", "gy", "zz"]) }],
    extension: "ts",
    options: { read: random.chance(70), write: random.chance(50), create: random.chance(30), recursive: true },
    sbx: { pty: random.chance(20) ? { cols: 80, rows: 24 } : null, group: random.chance(50), user: "root" },
    exclude: [random.pick(TEXTS)],
    exts: ["ts"],
    extensions: [],
    domain: "x.test",
  };
  for (const name of TEXT_PARAMS) params[name] = random.chance(99) ? random.pick(TEXTS) : random.pick(NUMBERS);
  for (const name of NUMBER_PARAMS) params[name] = random.chance(98) ? 1 + random.below(100) : random.pick(NUMBERS);
  for (const name of STREAM_PARAMS) params[name] = random.chance(40) ? random.below(6) : undefined;
  for (const name of FLAG_PARAMS) params[name] = random.chance(50);
  params["streamId"] ??= random.below(6);
  if (random.chance(40)) params["match"] = undefined;
  for (const [one, other] of ALTERNATIVES) {
    params[other] ??= random.below(6);
    if (random.chance(95)) params[random.chance(50) ? one : other] = undefined;
  }
  return params;
}
