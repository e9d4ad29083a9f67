/**
 * Copies of running machines: processes go on in them, nothing that should be unique is shared, and whatever is killed
 * in the middle leaves nothing.
 */
import assert from "node:assert/strict";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import path from "node:path";
import { after, afterEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { findAbandonedScratch } from "../../src/runtime/local/copies/scratch.ts";
import { eventually, processesOf, untilClean } from "./support/leftovers.ts";
import { collect } from "./support/program.ts";
import { checkRootDisk, checkVolumeDisk } from "./support/root-disk.ts";
import { openTestHome } from "./support/test-home.ts";

const SMALL = ["--memory", "512MiB", "--cpus", "1"];

const home = await openTestHome();
afterEach(async () => home.clear());
after(async () => home[Symbol.asyncDispose]());

/** Counts in a file, in the background. */
async function startCounting(id: string): Promise<void> {
  await home.bash(
    id,
    "nohup bash -c 'i=0; while :; do i=$((i+1)); echo $i > /tmp/n.new; mv /tmp/n.new /tmp/n; sleep 0.02; done' " +
      "</dev/null >/dev/null 2>&1 & until [ -s /tmp/n ]; do sleep 0.01; done",
  );
}

async function countOf(id: string): Promise<number> {
  return Number(await home.bash(id, "cat /tmp/n"));
}

async function fork(id: string, ...args: string[]): Promise<string[]> {
  return (await home.must(["fork", id, "--quiet", ...args])).split("\n");
}

async function pidOf(id: string, role: "vm" | "supervisor"): Promise<number> {
  const found = (await processesOf([id])).filter((process_) => process_.role === role);
  assert.ok(found[0] !== undefined, `there is a ${role}`);
  return found[0].pid;
}

/** Nothing of a copy that was being made: neither its files nor layers, nor its records. */
async function untilNoCopy(alive: string[]): Promise<void> {
  await untilClean(home, { alive, look: async () => home.sbx(["list"]) });
  await eventually(async () => {
    assert.deepEqual(findAbandonedScratch(home.paths), []);
    const directory = path.join(home.paths.dataPath, "checkpoints");
    assert.deepEqual(await readdir(directory).catch(() => []), []);
  });
}

test("processes go on in the copy from where they are, and in the source as if nothing had been", async () => {
  const source = await home.create(...SMALL, "--label", "kind=test");
  await startCounting(source);
  const writer = home.start(["exec", source, "--", "bash", "-c", "for i in $(seq 300); do echo $i; sleep 0.01; done"]);
  const written = collect(writer, "the writer");
  const before = await countOf(source);
  const [copy] = await fork(source, "--name", "twin", "--label", "more=1");
  assert.ok(copy !== undefined);
  const inCopy = await countOf(copy);
  assert.ok(inCopy >= before, `${inCopy} after ${before}`);
  assert.equal(await home.bash(copy, "hostname; cat /etc/hostname; grep -c twin /etc/hosts"), "twin\ntwin\n1");
  await eventually(async () => assert.ok((await countOf(copy)) > inCopy, "it counts on in the copy"));
  const inSource = await countOf(source);
  await eventually(async () => assert.ok((await countOf(source)) > inSource, "it counts on in the source"));
  const { status, stdout } = await written;
  assert.equal(status, 0);
  assert.equal(stdout, Array.from({ length: 300 }, (_, index) => `${index + 1}\n`).join(""));
  assert.deepEqual((await home.info(copy)).labels, { kind: "test", more: "1" });
  await home.must(["kill", source]);
  const last = await countOf(copy);
  await eventually(async () => assert.ok((await countOf(copy)) > last, "it outlives the source"));
});

test("what a process writes to nobody any more does not end it, its terminal stays, and its input ends", async () => {
  const source = await home.create(...SMALL);
  const line =
    "(while :; do echo much; date +%s%N > /tmp/writer; sleep 0.01; done) & " +
    "(cat; echo ended > /tmp/reader) < /dev/stdin & wait";
  const exec = home.start(["exec", "-i", source, "--", "bash", "-c", line]);
  await eventually(async () => assert.notEqual(await home.bash(source, "cat /tmp/writer"), ""));
  const [copy] = await fork(source);
  assert.ok(copy !== undefined);
  const at = await home.bash(copy, "cat /tmp/writer");
  await eventually(async () => assert.notEqual(await home.bash(copy, "cat /tmp/writer"), at));
  await eventually(async () => assert.equal(await home.bash(copy, "cat /tmp/reader"), "ended"));
  assert.equal(await home.bash(source, "cat /tmp/reader 2>/dev/null || echo still"), "still");
  exec.kill("SIGKILL");
});

test("a directory changed in a copy is not changed in the source or in another copy, memory and disk", async () => {
  const source = await home.create(...SMALL);
  await home.bash(source, "echo common > /home/app/file; echo common > /dev/shm/file; sync");
  const [first, second] = await fork(source, "--count", "2");
  assert.ok(first !== undefined && second !== undefined);
  await home.bash(first, "echo first > /home/app/file; echo first > /dev/shm/file; sync");
  await home.bash(source, "echo source > /home/app/file; echo source > /dev/shm/file; sync");
  for (const [id, content] of [
    [first, "first"],
    [second, "common"],
    [source, "source"],
  ] as const) {
    assert.equal(await home.bash(id, "cat /home/app/file /dev/shm/file"), `${content}\n${content}`);
  }
});

const UNIQUE: Record<string, string> = {
  getrandom: "python3 -c 'import os; print(os.getrandom(16).hex())'",
  "/dev/urandom": "head -c 16 /dev/urandom | od -An -tx1",
  "the kernel's uuid": "cat /proc/sys/kernel/random/uuid",
  "the boot id": "cat /proc/sys/kernel/random/boot_id",
  "the machine id": "cat /etc/machine-id",
  "the host name": "hostname",
  "a TLS key": "openssl ecparam -name prime256v1 -genkey -noout | tail -n +2 | head -1",
  "the pid of its next process": "echo $$",
  "the placeholder of its secret": "echo $KEY",
  "the authority that it trusts":
    "openssl x509 -noout -fingerprint -in /usr/local/share/ca-certificates/sbx-sandbox.crt",
};

const COUNT_ROOTS =
  "grep -c BEGIN /usr/local/share/sbx-roots.pem /etc/ssl/certs/ca-certificates.crt; ls /etc/ssl/certs | grep -c .";

test("ten copies of one checkpoint agree on nothing that should be unique", async () => {
  const env = { KEY: "sk-value-0123456789" };
  const create = ["create", "--detach", "--quiet", ...SMALL, "--secret", "KEY@api.example.com"];
  const source = await home.must(create, { env });
  // What was drawn before: the pool of the kernel and of a process that goes on are the same in all.
  await home.bash(source, "head -c 100 /dev/urandom | od -An -tx1 > /dev/null");
  const rootsBefore = await home.bash(source, COUNT_ROOTS);
  await home.must(["checkpoint", "create", source, "ten"]);
  await home.must(["kill", source]);
  const ids: string[] = [];
  for (let made = 0; made < 10; made++) {
    ids.push(await home.must(["create", "--detach", "--quiet", "--checkpoint", "ten"], { env }));
  }
  for (const [what, line] of Object.entries(UNIQUE)) {
    const values = await Promise.all(ids.map(async (id) => home.bash(id, line)));
    for (const value of values) assert.notEqual(value, "", what);
    assert.equal(new Set(values).size, values.length, `${what}: ${values.join(" | ")}`);
  }
  // Of the source's own authority nothing is left.
  assert.equal(await home.bash(ids[0] ?? "", COUNT_ROOTS), rootsBefore);
  const missing = await home.sbx(["create", "--detach", "--checkpoint", "ten"]);
  assert.equal(missing.status, 125);
  assert.match(missing.stderr, /KEY/, "the value of a secret is not kept anywhere");
  await home.must(["checkpoint", "remove", "ten"]);
  await home.must(["exec", ids[0] ?? "", "--", "true"]);
});

/**
 * Draws from the kernel without a pause, and writes down what, and when it began to: a value that the
 * process had in hand when it was stopped is in every copy, with a time from before the stop.
 */
const DRAWER = `
import os, time
out = open("/dev/shm/drawn", "w", buffering=1)
while True:
    began = time.time_ns()
    out.write(f"{os.getrandom(8).hex()} {began}\\n")
`;

test("a process that draws random numbers all the time draws none twice: copies are themselves before it goes on", async () => {
  const source = await home.create("--memory", "512MiB", "--cpus", "2");
  await writeFile(home.scratch("drawer.py"), DRAWER);
  await home.must(["copy", home.scratch("drawer.py"), `${source}:/tmp/drawer.py`]);
  await home.bash(source, "nohup python3 /tmp/drawer.py </dev/null >/dev/null 2>&1 & sleep 1");
  const copies = await fork(source, "--count", "3");
  await sleep(1000);
  const drawn = new Map<string, string>();
  for (const id of [source, ...copies]) {
    const lines = (await home.bash(id, "pkill python3; head -n -1 /dev/shm/drawn")).split("\n");
    assert.ok(lines.length > 1000, `${lines.length} lines`);
    for (const line of lines) {
      const [value = "", time = ""] = line.split(" ");
      // What was drawn before the copy is in all of them, at the same time.
      assert.equal(drawn.get(value) ?? time, time, `${value} was drawn twice`);
      drawn.set(value, time);
    }
  }
});

/** Says what it is sent, to whoever is connected. */
async function echoServer(): Promise<AsyncDisposable & { port: number; sockets: Set<Socket> }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined).on("close", () => sockets.delete(socket));
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  return {
    port: address.port,
    sockets,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Keeps a connection, says each second what comes back, and how it ended. */
const CLIENT = `
import socket, sys, time
s = socket.create_connection(("echo.example", int(sys.argv[1])))
open("/tmp/peer", "w").write(s.getpeername()[0])
s.settimeout(30)
n = 0
def say(text):
    open("/tmp/state.new", "w").write(text)
    import os; os.rename("/tmp/state.new", "/tmp/state")
try:
    while True:
        if n < 5 or sys.argv[2] == "busy":
            s.sendall(b"x"); assert s.recv(1) == b"x"; n += 1; say(f"alive {n}"); time.sleep(0.05)
        else:
            say("waiting"); s.recv(1); say("closed"); break
except Exception as e:
    say(type(e).__name__)
`;

for (const [kind, what] of [
  ["idle", "waits"],
  ["busy", "is used"],
] as const) {
  test(`a connection that ${what} ends at once in the copy and lives on in the source; its name stays`, async () => {
    await using server = await echoServer();
    const { port } = server;
    const rules = ["--allow-net", `echo.example:${port}`, "--resolve", `echo.example:${port}:127.0.0.1`];
    const source = await home.create(...SMALL, ...rules);
    await writeFile(home.scratch("client.py"), CLIENT);
    await home.must(["copy", home.scratch("client.py"), `${source}:/tmp/client.py`]);
    await home.bash(source, `nohup python3 /tmp/client.py ${port} ${kind} </dev/null >/dev/null 2>&1 &`);
    const state = async (id: string): Promise<string> => home.bash(id, "cat /tmp/state");
    const settled = kind === "idle" ? /waiting/ : /alive [5-9]/;
    await eventually(async () => assert.match(await state(source), settled));
    assert.equal(server.sockets.size, 1);
    const [copy] = await fork(source);
    assert.ok(copy !== undefined);
    await eventually(async () => assert.equal(await state(copy), "ConnectionResetError"), 5000);
    assert.equal(server.sockets.size, 1, "the source's connection is there, and no other");
    const before = await state(source);
    if (kind === "idle") assert.equal(before, "waiting");
    else await eventually(async () => assert.notEqual(await state(source), before));
    // A program that remembers the address means the same name with it.
    const dial = `exec 3<>/dev/tcp/$(cat /tmp/peer)/${port}; echo hello >&3; head -1 <&3`;
    assert.equal(await home.bash(copy, dial), "hello");
    const other = await home.sbx(["exec", copy, "--", "bash", "-c", `exec 3<>/dev/tcp/198.18.0.99/${port}`]);
    assert.notEqual(other.status, 0);
  });
}

test("a copy taken under heavy writing has a disk in order, and so has the source", async () => {
  const source = await home.create(...SMALL);
  await home.bash(
    source,
    "nohup bash -c 'while :; do for i in $(seq 50); do head -c 200000 /dev/urandom > /home/app/$i; done; sync; rm /home/app/[1-4]*; done' " +
      "</dev/null >/dev/null 2>&1 & sleep 1",
  );
  const [copy] = await fork(source);
  assert.ok(copy !== undefined);
  for (const id of [source, copy]) {
    await home.bash(id, "touch /home/app/after; sync");
    await home.must(["pause", id]);
    checkRootDisk(home, id);
  }
});

test("twenty generations of copies have what each of them wrote, in memory and on disk", async () => {
  let id = await home.create(...SMALL);
  await startCounting(id);
  for (let generation = 1; generation <= 20; generation++) {
    await home.bash(
      id,
      `head -c 100000 /dev/urandom > /home/app/${generation}; echo ${generation} >> /dev/shm/log; ` +
        "sha256sum /home/app/* > /dev/shm/sums; sync",
    );
    const [copy] = await fork(id);
    assert.ok(copy !== undefined);
    await home.must(["kill", id]);
    id = copy;
  }
  assert.equal(
    await home.bash(
      id,
      "sudo sh -c 'echo 3 > /proc/sys/vm/drop_caches'; sha256sum -c --quiet /dev/shm/sums; wc -l < /dev/shm/log",
    ),
    "20",
  );
  const last = await countOf(id);
  await eventually(async () => assert.ok((await countOf(id)) > last));
  await home.must(["kill", id]);
  await untilClean(home, { look: async () => home.sbx(["list"]) });
  const layers = await readdir(path.join(home.paths.dataPath, "layers"));
  assert.ok(layers.length <= 1, `of the generations nothing is left: ${layers.join(" ")}`);
});

test("a sandbox with a volume is not copied, and the volume is named", async () => {
  await home.must(["volume", "create", "shared", "--capacity", "64MiB"]);
  const source = await home.create(...SMALL, "--volume", "shared:/mnt/shared");
  for (const args of [
    ["fork", source],
    ["checkpoint", "create", source, "never"],
  ]) {
    const { status, stderr } = await home.sbx(args);
    assert.equal(status, 1);
    assert.match(stderr, /cannot be copied: it has volumes attached, which are not shared: shared/);
  }
  await untilNoCopy([source]);
  await home.must(["volume", "detach", "shared", source]);
  assert.equal((await fork(source)).length, 1);
  await home.clear();
  await home.must(["volume", "remove", "shared"]);
});

async function volumes(): Promise<string[]> {
  const listed = JSON.parse(await home.must(["volume", "list", "--json"])) as { slug: string }[];
  return listed.map(({ slug }) => slug).sort();
}

test("on demand a copy gets volumes of its own, with what was written in that moment, and they stay", async () => {
  await home.must(["volume", "create", "data", "--capacity", "64MiB"]);
  const source = await home.create(...SMALL, "--volume", "data:/mnt/data");
  await home.bash(
    source,
    "echo synced > /mnt/data/synced; sync; echo kept > /mnt/data/dirty; " +
      "nohup bash -c 'exec 3>/mnt/data/open; i=0; while :; do echo $((i++)) >&3; sleep 0.01; done' </dev/null >/dev/null 2>&1 &",
  );
  const copies = await fork(source, "--volumes", "copy", "--count", "2");
  const [first = "", second = ""] = copies;
  const sandboxes = [source, first, second];
  for (const id of sandboxes) {
    assert.equal(await home.bash(id, "cat /mnt/data/synced /mnt/data/dirty"), "synced\nkept");
    await home.bash(id, `echo ${id} > /mnt/data/own; sync`);
  }
  for (const id of sandboxes) {
    assert.equal(await home.bash(id, "cat /mnt/data/own"), id);
    const lines = await home.bash(id, "wc -l < /mnt/data/open");
    await eventually(async () => assert.notEqual(await home.bash(id, "wc -l < /mnt/data/open"), lines, "it writes on"));
  }
  const own = (await volumes()).filter((slug) => slug !== "data");
  assert.equal(own.length, 2);
  assert.ok(own.every((slug) => /^data-[0-9a-z]{5}$/.test(slug)));
  // A copy of a copy, whose disk has the number of the source's.
  const [grandchild = ""] = await fork(first, "--volumes", "copy");
  assert.equal(await home.bash(grandchild, "cat /mnt/data/own"), first);
  await home.bash(grandchild, `echo ${grandchild} > /mnt/data/own; sync; pkill -f /mnt/data/open`);
  const [third = ""] = (await volumes()).filter((slug) => slug !== "data" && !own.includes(slug));
  await home.must(["volume", "resize", third, "96MiB"]);
  await home.must(["volume", "detach", third, grandchild]);
  assert.equal(await home.bash(grandchild, "ls -A /mnt/data; grep -c /mnt/data /proc/mounts || true"), "0");
  checkVolumeDisk(home, third);
  await home.must(["volume", "attach", third, grandchild, "/mnt/again"]);
  assert.equal(await home.bash(grandchild, "cat /mnt/again/own"), grandchild);
  for (const id of sandboxes) await home.must(["pause", id]);
  for (const slug of ["data", ...own]) checkVolumeDisk(home, slug);
  // The original beside the copy, whose disk has its number.
  await home.must(["kill", source]);
  await home.must(["resume", first]);
  await home.must(["volume", "attach", "data", first, "/mnt/original"]);
  assert.equal(await home.bash(first, "cat /mnt/data/own /mnt/original/own"), `${first}\n${source}`);
  for (const id of [first, second, grandchild]) await home.must(["kill", id]);
  assert.deepEqual(await volumes(), ["data", ...own, third].sort());
  for (const slug of await volumes()) await home.must(["volume", "remove", slug]);
});

test("volumes of a copy that does not come about are taken back, whatever ends it", async () => {
  await home.must(["volume", "create", "notes", "--capacity", "64MiB"]);
  const source = await home.create(...SMALL, "--volume", "notes:/mnt/data", "--label", "of=notes");
  await home.bash(source, "echo kept > /mnt/data/file");
  for (let delayMs = 150; delayMs <= 1500; delayMs += 150) {
    const forking = home.start(["fork", source, "--quiet", "--volumes", "copy"]);
    const ended = collect(forking, "the fork");
    await sleep(delayMs);
    forking.kill("SIGKILL");
    await ended;
    await home.sbx(["list"]);
    const copies = (await home.list()).filter(({ id, status }) => id !== source && status === "running");
    // One that was complete lives, and its volume stays.
    for (const { id } of copies) await home.must(["kill", id]);
  }
  const ended = (await home.list()).filter(({ labels, reason }) => labels.of === "notes" && reason === "killed");
  const complete = ended.length;
  const taken = await home.create(...SMALL, "--name", "try-2");
  const several = await home.sbx(["fork", source, "--count", "3", "--name", "try", "--volumes", "copy"]);
  assert.match(several.stderr, /belongs to a sandbox that is running/);
  await untilNoCopy([source, taken]);
  assert.equal((await volumes()).length, 1 + complete);
  await home.bash(source, "cat /mnt/data/file; echo more >> /mnt/data/file; [ $(wc -l < /mnt/data/file) = 2 ]; sync");
  await home.must(["pause", source]);
  checkVolumeDisk(home, "notes");
  await home.clear();
  for (const slug of await volumes()) await home.must(["volume", "remove", slug]);
});

test("a volume that is only read is in the way of a copy, also on demand", async () => {
  await home.must(["volume", "create", "read", "--capacity", "64MiB"]);
  const reader = await home.create(...SMALL, "--volume", "read:/mnt/data:ro");
  const { status, stderr } = await home.sbx(["fork", reader, "--volumes", "copy"]);
  assert.equal(status, 1);
  assert.match(stderr, /cannot be copied: it has volumes attached, which are not shared: read/);
  await home.clear();
  await home.must(["volume", "remove", "read"]);
});

test("a name that is taken is refused and leaves no copy; the source goes on", async () => {
  const source = await home.create(...SMALL, "--name", "web");
  await startCounting(source);
  const { status, stderr } = await home.sbx(["fork", "web", "--name", "web"]);
  assert.equal(status, 1);
  assert.match(stderr, /belongs to a sandbox that is running/);
  await home.must(["create", "--detach", "--quiet", ...SMALL, "--name", "try-2"]);
  const several = await home.sbx(["fork", "web", "--count", "3", "--name", "try"]);
  assert.equal(several.status, 1);
  const alive = (await home.list()).filter((info) => info.status === "running").map(({ name }) => name);
  assert.deepEqual(alive.sort(), ["try-2", "web"]);
  const last = await countOf(source);
  await eventually(async () => assert.ok((await countOf(source)) > last));
});

test("a command that is killed at any moment of a fork leaves nothing, and the source goes on", async () => {
  const source = await home.create(...SMALL);
  await startCounting(source);
  for (let delayMs = 100; delayMs <= 1300; delayMs += 120) {
    const forking = home.start(["fork", source, "--quiet"]);
    const ended = collect(forking, "the fork");
    await sleep(delayMs);
    forking.kill("SIGKILL");
    await ended;
    await home.sbx(["list"]);
    const running = (await home.list()).filter(({ status }) => status === "running");
    // A copy that was complete lives.
    for (const { id } of running) if (id !== source) await home.must(["kill", id]);
    await untilNoCopy([source]);
    const last = await countOf(source);
    await eventually(async () => assert.ok((await countOf(source)) > last, `after a kill at ${delayMs} ms`));
  }
  assert.equal((await fork(source)).length, 1);
});

/** The process of the program that copies memory, as soon as there is one. */
async function helperPid(): Promise<number> {
  let pid = 0;
  await eventually(async () => {
    for (const entry of await readdir("/proc")) {
      if (!/^\d+$/.test(entry)) continue;
      const command = await readFile(`/proc/${entry}/cmdline`, "utf8").catch(() => "");
      if (/sbx-memory-linux/.test(command.split("\0")[0] ?? "")) pid = Number(entry);
    }
    assert.notEqual(pid, 0);
  });
  return pid;
}

for (const victim of ["helper", "vm", "supervisor"] as const) {
  test(`when the ${victim} is killed while memory is copied, the command says so and nothing is left`, async () => {
    const source = await home.create("--memory", "1GiB", "--cpus", "1");
    await home.bash(source, "head -c 300000000 /dev/urandom > /dev/shm/much");
    const pid = victim === "helper" ? 0 : await pidOf(source, victim);
    const saving = home.start(["checkpoint", "create", source, "doomed"]);
    const helper = await helperPid();
    process.kill(victim === "helper" ? helper : pid, "SIGKILL");
    const { status, stderr } = await collect(saving, "the checkpoint");
    assert.equal(status, 1, stderr);
    assert.doesNotMatch(stderr, /\n\s+at /);
    if (victim === "helper") {
      assert.equal(await home.bash(source, "echo alive"), "alive");
      await untilNoCopy([source]);
    } else {
      await eventually(async () => assert.equal((await home.info(source)).status, "stopped"));
      await untilNoCopy([]);
    }
    assert.equal(await home.must(["checkpoint", "list", "--quiet"]), "");
  });
}
