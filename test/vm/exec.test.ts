/** `sbx exec` in a real machine: bytes, streams, statuses, signals, terminals. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "./support/leftovers.ts";
import { collect, runHost } from "./support/program.ts";
import { PROGRAM } from "./support/program.ts";
import { openTestHome } from "./support/test-home.ts";

const MIB = 1024 * 1024;
/** As long as the largest piece that a pipe gives. */
const ZEROS = Buffer.alloc(MIB);

const home = await openTestHome();
let id = "";
before(async () => {
  id = await home.create("--name", "box");
});
after(async () => home[Symbol.asyncDispose]());

const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

/** Every byte value, line ends and invalid UTF-8 among them, and no two parts alike. */
const BIG = Buffer.concat([Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)), randomBytes(24 * MIB)]);

test("bytes into a command are right, and so are bytes out of one", async () => {
  const file = home.scratch("big");
  await writeFile(file, BIG);
  const out = home.scratch("out");
  const [node, program] = PROGRAM;
  const shell = (line: string): Promise<{ status: number; stdout: string }> =>
    runHost(["bash", "-o", "pipefail", "-c", line, node, program, id, file, out], { env: home.env });
  const into = await shell('cat "$3" | "$0" "$1" exec "$2" -- sha256sum');
  assert.deepEqual([into.status, into.stdout.slice(0, 64)], [0, sha256(BIG)]);
  await shell('"$0" "$1" exec "$2" -- tee copy < "$3" > "$4"');
  assert.equal(sha256(await readFile(out)), sha256(BIG), "through and back");
  const back = await shell('"$0" "$1" exec "$2" -- cat copy > "$4"');
  assert.equal(back.status, 0);
  assert.equal(sha256(await readFile(out)), sha256(BIG), "from a file");
});

test("stdout and stderr stay apart, and both are complete", async () => {
  const line = "for i in $(seq 2000); do echo out $i; echo err $i >&2; done";
  const outcome = await home.sbx(["exec", id, "--", "bash", "-c", line]);
  const expected = (word: string): string => Array.from({ length: 2000 }, (_, i) => `${word} ${i + 1}\n`).join("");
  assert.equal(outcome.status, 0);
  assert.equal(outcome.stdout, expected("out"));
  assert.equal(outcome.stderr, expected("err"));
});

test("a command without input sees the end of stdin", async () => {
  assert.equal(await home.must(["exec", id, "--", "cat"]), "");
  assert.equal(await home.must(["exec", "--no-stdin", id, "--", "cat"], { input: "unread" }), "");
  assert.equal(await home.must(["exec", id, "--", "head", "-c", "3"], { input: BIG }), BIG.subarray(0, 3).toString());
});

test("the status is the command's own, 128 plus the signal's number, or sbx's", async () => {
  const cases: [number, string[]][] = [
    [0, ["true"]],
    [1, ["false"]],
    [42, ["sh", "-c", "exit 42"]],
    [255, ["sh", "-c", "exit 255"]],
    [137, ["sh", "-c", "kill -9 $$"]],
    [143, ["sh", "-c", "kill -TERM $$"]],
    [134, ["sh", "-c", "kill -ABRT $$"]],
    [126, ["/etc/passwd"]],
    [126, ["/home/app"]],
    [127, ["no-such-command"]],
    [127, ["/no/such/command"]],
  ];
  for (const [status, argv] of cases) {
    assert.equal((await home.sbx(["exec", id, "--", ...argv])).status, status, argv.join(" "));
  }
  const nobody = await home.sbx(["exec", "nobody", "--", "true"]);
  assert.equal(nobody.status, 125);
  assert.match(nobody.stderr, /nobody/);
  const nowhere = await home.sbx(["exec", "--cwd", "/no/such/directory", id, "--", "true"]);
  assert.equal(nowhere.status, 125, "a missing directory is not a missing command");
  assert.match(nowhere.stderr, /\/no\/such\/directory/);
  assert.equal((await home.sbx(["exec", id])).status, 2);
});

test("words arrive as they were given; one word with spaces is a line for bash", async () => {
  const words = [
    "",
    " ",
    "a b",
    "",
    "it's",
    '"q"',
    "$HOME",
    "`id`",
    "*",
    "--",
    "-x",
    "\\",
    "new\nline",
    "ünï ☃",
    "a;b|c&d",
  ];
  const shown = await home.sbx([
    "exec",
    id,
    "--",
    "python3",
    "-c",
    "import sys,os;[sys.stdout.buffer.write(os.fsencode(a)+b'\\0') for a in sys.argv[1:]]",
    ...words,
  ]);
  assert.deepEqual(shown.stdout.split("\0").slice(0, -1), words);
  assert.equal(await home.must(["exec", id, "echo $((6*7)) | tr 4 5 && cd / && pwd"]), "52\n/");
  assert.equal(await home.must(["exec", id, "--", "echo $((6*7))"]), "42");
  assert.equal(await home.must(["exec", id, "--", "echo", "$((6*7))"]), "$((6*7))");
});

test("variables of exec are the command's alone, and --clear-env leaves only them", async () => {
  assert.equal(await home.must(["exec", "--env", "A=x y=z", id, "--", "printenv", "A"]), "x y=z");
  assert.equal((await home.sbx(["exec", id, "--", "printenv", "A"])).status, 1);
  const bare = await home.must(["exec", "--clear-env", "--env", "ONLY=1", id, "--", "/usr/bin/env"]);
  assert.match(bare, /^ONLY=1$/m);
  assert.doesNotMatch(bare, /SBX_SANDBOX_ID/);
});

test("SIGINT and SIGTERM of sbx reach the guest's whole process group, whose status is passed on", async () => {
  for (const [signal, line, status] of [
    ["SIGINT", "trap 'echo caught; exit 3' INT; echo up; sleep 1000 | cat", 3],
    ["SIGTERM", "trap 'echo caught; exit 4' TERM; echo up; sleep 1000 | cat", 4],
  ] as const) {
    const child = home.start(["exec", "--no-stdin", id, "--", "bash", "-c", line]);
    const ended = collect(child, `exec with ${signal}`);
    await new Promise((resolve) => child.stdout.once("data", resolve));
    child.kill(signal);
    const outcome = await ended;
    assert.deepEqual([outcome.status, outcome.stdout], [status, "up\ncaught\n"]);
    await eventually(async () => {
      const left = await home.sbx(["exec", id, "--", "pgrep", "-fx", "sleep 1000"]);
      assert.equal(left.status, 1, "the whole pipeline got the signal");
    });
  }
});

test("a command that is killed by the signal it was sent ends sbx with 128 plus its number", async () => {
  const child = home.start(["exec", "--no-stdin", id, "--", "bash", "-c", "echo up; exec sleep 1000"]);
  const ended = collect(child, "exec with SIGTERM");
  await new Promise((resolve) => child.stdout.once("data", resolve));
  child.kill("SIGTERM");
  assert.equal((await ended).status, 143);
});

test("--timeout ends the command with status 124, even one that ignores SIGTERM", async () => {
  const outcome = await home.sbx(["exec", "--timeout", "1s", id, "--", "sleep", "1001"]);
  assert.equal(outcome.status, 124);
  assert.match(outcome.stderr, /stopped after 1s/);
  const stubborn = await home.sbx([
    "exec",
    "--timeout",
    "1s",
    id,
    "--",
    "bash",
    "-c",
    "trap '' TERM; while :; do sleep 1001; done",
  ]);
  assert.equal(stubborn.status, 124);
  await eventually(async () =>
    assert.equal((await home.sbx(["exec", id, "--", "pgrep", "-fx", "sleep 1001"])).status, 1),
  );
});

test("after kill -9 of sbx its command goes on to its end, unheard, and the sandbox serves others", async () => {
  const line = "echo up; yes | head -c 20000000; echo over > finished";
  const child = home.start(["exec", "--no-stdin", id, "--", "bash", "-c", line]);
  const ended = collect(child, "exec that is killed");
  await new Promise((resolve) => child.stdout.once("data", resolve));
  child.kill("SIGKILL");
  assert.equal((await ended).status, 137);
  await eventually(async () => assert.equal(await home.must(["exec", id, "--", "cat", "finished"]), "over"));
});

test("a reader that goes away ends the writer, as in a local pipe", async () => {
  const [node, program] = PROGRAM;
  const line = '"$0" "$1" exec "$2" -- yes | head -n 3';
  const outcome = await runHost(["bash", "-c", line, node, program, id], { env: home.env });
  assert.deepEqual([outcome.status, outcome.stdout], [0, "y\ny\ny\n"]);
  await eventually(async () => assert.equal((await home.sbx(["exec", id, "--", "pgrep", "-x", "yes"])).status, 1));
});

test("1 GB of stdout to a reader that sleeps neither grows sbx nor gets lost, and others are served meanwhile", async () => {
  const bytes = 1024 * MIB;
  const child = home.start(["exec", "--no-stdin", id, "--", "head", "-c", String(bytes), "/dev/zero"]);
  const supervisor = (await home.info(id)).supervisorPid ?? 0;
  const before = await memoryOf(supervisor);
  let most = 0;
  const watch = async (): Promise<void> => {
    most = Math.max(most, (await memoryOf(supervisor)) - before);
    const own = await memoryOf(child.pid ?? 0);
    assert.ok(own < 250 * MIB, `the command takes ${Math.round(own / MIB)} MiB`);
  };
  // Nobody reads: the pipe, the socket and the windows fill, and then the guest must stand still.
  for (let i = 0; i < 10; i += 1) {
    await sleep(200);
    await watch();
  }
  assert.equal(await home.must(["exec", id, "--", "echo", "still here"]), "still here");
  assert.equal((await home.sbx(["exec", id, "--", "pgrep", "-x", "head"])).status, 0, "the guest waits for its reader");
  let received = 0;
  let chunks = 0;
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    assert.equal(chunk.compare(ZEROS, 0, chunk.length), 0);
    received += chunk.length;
    chunks += 1;
    if (chunks % 4000 === 0) await watch();
  }
  assert.equal(received, bytes);
  assert.ok(most < 96 * MIB, `the supervisor grew by ${Math.round(most / MIB)} MiB`);
});

test("the same for 128 MB of stdin to a command that sleeps", async () => {
  const child = home.start(["exec", id, "--", "bash", "-c", "sleep 4; wc -c"]);
  const supervisor = (await home.info(id)).supervisorPid ?? 0;
  const before = await memoryOf(supervisor);
  const outcome = collect(child, "exec with a sleeping reader", { input: Buffer.alloc(128 * MIB) });
  let most = 0;
  for (let i = 0; i < 8; i += 1) {
    await sleep(200);
    most = Math.max(most, (await memoryOf(supervisor)) - before);
  }
  assert.equal((await outcome).stdout.trim(), String(128 * MIB));
  assert.ok(most < 96 * MIB, `the supervisor grew by ${Math.round(most / MIB)} MiB`);
});

test("twenty commands at once do not mix their output", async () => {
  const outcomes = await Promise.all(
    Array.from({ length: 20 }, async (_, i) =>
      home.must(["exec", id, "--", "bash", "-c", `for n in $(seq 50); do echo ${i}; done`]),
    ),
  );
  outcomes.forEach((text, i) => assert.equal(text, Array(50).fill(String(i)).join("\n")));
});

/** Resident memory of a process, `bytes`. */
async function memoryOf(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024;
}
