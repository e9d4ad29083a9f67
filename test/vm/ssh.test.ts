/**
 * SSH into a running sandbox with the programs that people have: OpenSSH's ssh, scp and sftp, rsync, git, curl. All
 * tests share one sandbox, and a configuration as `sbx ssh-config` makes it.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import path from "node:path";
import { after, before, test } from "node:test";
import { Client } from "ssh2";
import { openSshSocket } from "../../src/runtime/local/ssh/upgrade.ts";
import { eventually } from "./support/leftovers.ts";
import { runHost, type Outcome, type RunOptions } from "./support/program.ts";
import { openTestHome } from "./support/test-home.ts";

const MiB = 1024 ** 2;
const home = await openTestHome();
const config = home.scratch("ssh_config");
const ssh = ["ssh", "-F", config] as const;
const sshPath = path.join(home.paths.dataPath, "ssh");
let id = "";

before(async () => {
  id = await home.create("--name", "web");
  await home.must(["ssh-config", "--yes", "--file", config]);
});
after(async () => home[Symbol.asyncDispose]());

async function run(argv: readonly [string, ...string[]], options: Partial<RunOptions> = {}): Promise<Outcome> {
  return runHost(argv, { env: home.env, ...options });
}

/** Of a command that must succeed, what it prints. */
async function must(argv: readonly [string, ...string[]], options: Partial<RunOptions> = {}): Promise<string> {
  const { status, stdout, stderr } = await run(argv, options);
  assert.equal(status, 0, `${argv.join(" ")}: ${stdout}${stderr}`);
  return stdout;
}

/** A port of this machine that nobody listens on. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** An ssh that only forwards, for as long as `work` takes. */
async function forwarding<T>(options: readonly string[], work: () => Promise<T>): Promise<T> {
  const master = home.scratch("forwarding");
  const [program, ...words] = ssh;
  const open = [program, ...words, "-M", "-S", master, "-f", "-N", "-o", "ExitOnForwardFailure=yes"] as const;
  await must([...open, ...options, "web.sbx"]);
  try {
    return await work();
  } finally {
    await run([program, ...words, "-S", master, "-O", "exit", "web.sbx"]);
  }
}

/** A client inside this process, on a connection of its own. */
async function connectClient(): Promise<Client> {
  const publicKey = readFileSync(path.join(sshPath, "identity", "id_ed25519.pub"), "utf8").trim();
  const socketPath = path.join(home.paths.socketsPath, `${id}.sock`);
  const { socket } = await openSshSocket({ socketPath, publicKey, clientFirst: false, signal: undefined });
  const client = new Client();
  const privateKey = readFileSync(path.join(sshPath, "identity", "id_ed25519"));
  client.connect({ sock: socket, username: "app", privateKey });
  await once(client, "ready");
  return client;
}

test("status, output and errors of a command come back as they are", async () => {
  const outcome = await run([...ssh, "web.sbx", "echo out; echo err >&2; exit 3"]);
  assert.deepEqual([outcome.status, outcome.stdout, outcome.stderr], [3, "out\n", "err\n"]);
  assert.equal((await run([...ssh, "web.sbx", "kill -TERM $$"])).status, 255);
  assert.equal((await run([...ssh, "web.sbx", "nosuchprogram"])).status, 127);
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
  assert.deepEqual((await run([...ssh, "web.sbx", "cat"], { input: bytes })).bytes, bytes);
});

test("a session is over when nobody can write to it any more, as with sshd", async () => {
  assert.equal(await must([...ssh, "web.sbx", "(sleep 1; echo late) & echo early"]), "early\nlate\n");
});

test("accounts are the sandbox's: each has its home and rights, and one that is not there is refused", async () => {
  assert.equal(await must([...ssh, "web.sbx", "id -un; pwd"]), "app\n/home/app\n");
  const root = await must([...ssh, "root@web.sbx", "id -un; pwd; echo $HOME $USER $SHELL"]);
  assert.equal(root, "root\n/root\n/root root /bin/bash\n");
  const refused = await run([...ssh, "nosuch@web.sbx", "true"]);
  assert.equal(refused.status, 255);
  assert.match(refused.stderr, /^sbx: the sandbox has no account "nosuch"\r?\n/);
});

test("the environment is the sandbox's, and what the client sets comes on top", async () => {
  const env = { ...home.env, COLORTERM: "truecolor", LC_TIME: "C" };
  const options = ["-o", "SendEnv=LC_TIME", "-o", "SetEnv=OWN=1"];
  const line = "echo $SBX_SANDBOX_ID $COLORTERM $LC_TIME $OWN";
  assert.equal(await must([...ssh, ...options, "web.sbx", line], { env }), `${id} truecolor C 1\n`);
});

test("a terminal has the client's size, and follows it", async () => {
  const driver = `
import fcntl, os, pty, struct, sys, termios
def resize(fd, cols, rows): fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
pid, fd = pty.fork()
if pid == 0:
    resize(0, 100, 30)
    os.execvp(sys.argv[1], sys.argv[1:])
seen = b""
def until(word):
    global seen
    while word not in seen: seen += os.read(fd, 65536)
until(b"size 30 100 xterm-256color"); resize(fd, 132, 50); os.write(fd, b"go\\r"); until(b"size 50 132")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))`;
  const line = "trap 'echo size $(stty size)' WINCH; echo size $(stty size) $TERM; read x; sleep 0.2; exit 5";
  const env = { ...home.env, TERM: "xterm-256color" };
  const outcome = await run(["python3", "-c", driver, ...ssh, "-t", "web.sbx", line], { env });
  assert.deepEqual([outcome.status, outcome.stderr], [5, ""]);
});

test("a signal that a client sends reaches what runs", async () => {
  const client = await connectClient();
  const closed = Promise.withResolvers<unknown[]>();
  client.exec("trap 'echo got it; exit 9' INT; echo ready; while :; do sleep 0.1; done", (error, channel) => {
    if (error !== undefined) throw error;
    channel.once("data", () => channel.signal("INT"));
    channel.on("close", (...status: unknown[]) => closed.resolve(status));
  });
  assert.deepEqual(await closed.promise, [9]);
  client.end();
});

test("scp, sftp and rsync work, without an SFTP server of the sandbox's", async () => {
  const [file, back] = [home.scratch("file"), home.scratch("back")];
  writeFileSync(file, Buffer.alloc(3 * MiB, "0123456789abcde\n"));
  await must(["scp", "-q", "-F", config, file, "web.sbx:copy"]);
  await must(["scp", "-q", "-F", config, "web.sbx:copy", back]);
  assert.ok(readFileSync(back).equals(readFileSync(file)));
  const listing = await must(["sftp", "-q", "-F", config, "-b", "-", "web.sbx"], { input: "ls -1 /home/app\nquit\n" });
  assert.match(listing, /^copy$|\/copy$/m);
  mkdirSync(home.scratch("tree/below"), { recursive: true });
  writeFileSync(home.scratch("tree/below/a b"), "content");
  await must(["rsync", "-a", "-e", ssh.join(" "), `${home.scratch("tree")}/`, "web.sbx:tree/"]);
  assert.equal(await must([...ssh, "web.sbx", "cat 'tree/below/a b'; rm -r tree copy"]), "content");
});

test("git clones and pushes", async () => {
  const env = { ...home.env, GIT_SSH_COMMAND: ssh.join(" ") };
  const work = home.scratch("repo");
  const git = async (...words: string[]): Promise<string> =>
    must(["git", "-C", work, "-c", "user.name=a", "-c", "user.email=a@b", ...words], { env });
  await must([...ssh, "web.sbx", "git init -q --bare -b main repo.git"]);
  await must(["git", "clone", "-q", "web.sbx:repo.git", work], { env });
  writeFileSync(path.join(work, "file"), "content");
  await git("add", ".");
  await git("commit", "-q", "-m", "one");
  await git("push", "-q", "origin", "HEAD:main");
  assert.equal(await must([...ssh, "web.sbx", "git -C repo.git show main:file"]), "content");
});

test("-L carries a gigabyte unharmed, and -D reaches what the sandbox reaches", async () => {
  const server = String.raw`
import hashlib, os, socket
part = os.urandom(16 << 20)
listener = socket.create_server(("127.0.0.1", 5000))
print(hashlib.sha256(part).hexdigest(), flush=True)
os.dup2(os.open("/dev/null", os.O_RDWR), 1)
while True:
    connection, _ = listener.accept()
    connection.recv(4096)
    connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
    for _ in range(64): connection.sendall(part)
    connection.close()`;
  const check =
    "import sys,hashlib\nfor i in range(64): print(hashlib.sha256(sys.stdin.buffer.read(16<<20)).hexdigest())\n" +
    "print(len(sys.stdin.buffer.read()))";
  await must([...ssh, "web.sbx", "cat > server.py"], { input: server });
  const sum = await must([...ssh, "web.sbx", "setsid python3 server.py 2>/dev/null </dev/null &"]);
  const [forward, proxy] = [await freePort(), await freePort()];
  await forwarding(["-L", `${forward}:127.0.0.1:5000`, "-D", `${proxy}`], async () => {
    const fetched = await must(["sh", "-c", 'curl -s "$0" | python3 -c "$1"', `http://127.0.0.1:${forward}/`, check]);
    assert.equal(fetched, `${sum.repeat(64)}0\n`);
    const socks = `curl -s --socks5-hostname 127.0.0.1:${proxy} http://localhost`;
    assert.equal(await must(["sh", "-c", `${socks}:5000/ | head -c 16777216 | sha256sum | cut -c 1-64`]), sum);
    assert.notEqual((await run(["sh", "-c", `${socks}:5001/`])).status, 0);
  });
});

test("a Unix socket of the sandbox's is reached, with the account's rights", async () => {
  const server = String.raw`
import socket
listener = socket.socket(socket.AF_UNIX)
listener.bind("/tmp/its.sock")
listener.listen()
while True:
    connection, _ = listener.accept()
    connection.recv(4096)
    connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nhello")
    connection.close()`;
  await must([...ssh, "web.sbx", "cat > its-server.py"], { input: server });
  await must([...ssh, "web.sbx", "setsid python3 its-server.py >/dev/null 2>&1 </dev/null &"]);
  const local = home.scratch("its.sock");
  await forwarding(["-L", `${local}:/tmp/its.sock`], async () => {
    const ask = ["curl", "-s", "--unix-socket", local, "http://x/"] as const;
    await eventually(async () => assert.equal(await must(ask), "hello"));
    await must([...ssh, "root@web.sbx", "chown root /tmp/its.sock; chmod 600 /tmp/its.sock"]);
    assert.notEqual((await run(ask)).status, 0);
  });
});

test("sessions share a connection under ControlMaster, also while keys are exchanged anew", async () => {
  const master = home.scratch("master");
  await must([...ssh, "-o", "RekeyLimit=1M", "-M", "-S", master, "-f", "-N", "web.sbx"]);
  const shared = [...ssh, "-S", master] as const;
  const input = Buffer.alloc(24 * MiB, "0123456789abcdef");
  const both = [0, 1].map(async () => (await run([...shared, "web.sbx", "cat"], { input })).bytes);
  for (const bytes of await Promise.all(both)) assert.ok(bytes.equals(input));
  await must([...shared, "-O", "exit", "web.sbx"]);
});

test("agents, X11 and remote forwards are refused", async () => {
  const display = { ...home.env, DISPLAY: ":0", SSH_AUTH_SOCK: "/nowhere" };
  const line = "echo agent=$SSH_AUTH_SOCK display=$DISPLAY";
  assert.equal(await must([...ssh, "-A", "web.sbx", line], { env: display }), "agent= display=\n");
  const remote = await run([...ssh, "-o", "ExitOnForwardFailure=yes", "-R", "9999:localhost:22", "web.sbx", "true"]);
  assert.equal(remote.status, 255);
  const agent = await home.sbx(["ssh", "-A", "web"]);
  assert.equal(agent.status, 2);
  assert.match(agent.stderr, /-A would let everything in the sandbox use your keys/);
});

test("sbx ssh needs no configuration of the user's, and keeps the words of a command", async () => {
  const words = ["printf", "%s|", "a b", "", "it's", "$HOME", "*"];
  assert.equal(await home.must(["ssh", "web", "--", ...words]), "a b||it's|$HOME|*|");
  assert.equal((await home.sbx(["ssh", "-l", "root", "web", "id -u; exit 4"])).status, 4);
  const missing = await home.sbx(["ssh", "web"], { env: { PATH: path.dirname(process.execPath) } });
  assert.equal(missing.status, 125);
  assert.match(missing.stderr, /there is no ssh on this machine[^]*sbx exec -t web/);
});

test("create --ssh goes into a sandbox that lasts as long as the session", async () => {
  const { status, stdout, stderr } = await home.sbx(["create", "--ssh", "--name", "once", "--", "hostname; exit 6"]);
  assert.deepEqual([status, stdout], [6, "once\n"], stderr);
  await eventually(async () => {
    const once_ = (await home.list()).find(({ name }) => name === "once");
    assert.equal(once_?.status, "stopped");
  });
});

test("a client that does not take sockets over is given the bytes", async () => {
  const piped = await must([...ssh, "-o", "ProxyUseFdpass=no", "web.sbx", "cat"], { input: "through a relay" });
  assert.equal(piped, "through a relay");
});

test("why a sandbox cannot be reached is told, and its key is forgotten with it", async () => {
  const known = (): string => readFileSync(path.join(sshPath, "known_hosts"), "utf8");
  const gone = await home.create("--name", "gone");
  await must([...ssh, "gone.sbx", "true"]);
  assert.match(known(), new RegExp(`^gone\\.sbx ssh-ed25519 \\S+ ${gone}$`, "m"));
  await home.must(["kill", "gone"]);
  assert.doesNotMatch(known(), /gone/);
  const { status, stderr } = await run([...ssh, "gone.sbx", "true"]);
  assert.equal(status, 255);
  assert.match(stderr, /sandbox gone is not running any more: killed/);
  // Another sandbox of the name has another key, and nobody is warned of an attack.
  await home.create("--name", "gone");
  assert.equal(await must([...ssh, "gone.sbx", "echo again"]), "again\n");
  await home.must(["kill", "gone"]);
});

test("nobody else on this machine can use the key, or the socket", async () => {
  const socketPath = path.join(home.paths.socketsPath, `${id}.sock`);
  const key = path.join(sshPath, "identity", "id_ed25519");
  assert.equal(statSync(key).mode & 0o777, 0o600);
  assert.equal(statSync(sshPath).mode & 0o777, 0o700);
  assert.equal(statSync(socketPath).mode & 0o777, 0o600);
  const foreign = ["runuser", "-u", "nobody", "--"] as const;
  assert.notEqual((await run([...foreign, "cat", key], { cwd: "/" })).status, 0);
  const dial = `import socket;socket.socket(socket.AF_UNIX).connect('${socketPath}')`;
  const refused = await run([...foreign, "python3", "-c", dial], { cwd: "/" });
  assert.match(refused.stderr, /PermissionError/);
});

test("500 connections one after the other, and 50 at once, all get their answer", async () => {
  for (let index = 0; index < 500; index++) (await connectClient()).destroy();
  const all = Array.from({ length: 50 }, async (_, index) => must([...ssh, "web.sbx", `echo ${index}`]));
  const answers = await Promise.all(all);
  assert.deepEqual(
    answers,
    Array.from({ length: 50 }, (_, index) => `${index}\n`),
  );
});

test("one connection more than a sandbox takes is refused with the reason, and others go on", async () => {
  const publicKey = readFileSync(path.join(sshPath, "identity", "id_ed25519.pub"), "utf8").trim();
  const socketPath = path.join(home.paths.socketsPath, `${id}.sock`);
  const open = async (): ReturnType<typeof openSshSocket> =>
    openSshSocket({ socketPath, publicKey, clientFirst: true, signal: undefined });
  const held = await Promise.all(Array.from({ length: 64 }, open));
  const refused = await run([...ssh, "web.sbx", "true"]);
  assert.equal(refused.status, 255);
  assert.match(refused.stderr, /the sandbox has as many SSH connections as it takes/);
  for (const { socket } of held) socket.destroy();
  await eventually(async () => must([...ssh, "web.sbx", "true"]));
});

test("ssh-audit finds nothing to fault", async (t) => {
  const publicKey = readFileSync(path.join(sshPath, "identity", "id_ed25519.pub"), "utf8").trim();
  const socketPath = path.join(home.paths.socketsPath, `${id}.sock`);
  const relay = createServer((client) => {
    client.on("error", () => undefined);
    void openSshSocket({ socketPath, publicKey, clientFirst: false, signal: undefined }).then(({ socket }) => {
      socket.on("error", () => undefined);
      client.pipe(socket).pipe(client);
    });
  });
  relay.listen(0, "127.0.0.1");
  await once(relay, "listening");
  t.after(() => relay.close());
  const { port } = relay.address() as AddressInfo;
  const { stdout } = await run(["ssh-audit", "-n", "-p", String(port), "127.0.0.1"]);
  // Debian 12's (2.5.0) is older than strict key exchange, whose mark it takes for an algorithm that it does not know.
  const faults = stdout.split("\n").filter((line) => /\[fail\]|\[warn\]/.test(line));
  assert.deepEqual(
    faults.filter((line) => !/^\(kex\) kex-strict-s-v00@openssh\.com +-- \[warn\] unknown algorithm$/.test(line)),
    [],
  );
  for (const expected of [
    "curve25519-sha256",
    "ssh-ed25519",
    "aes128-gcm@openssh.com",
    "kex-strict-s-v00@openssh.com",
  ]) {
    assert.ok(stdout.includes(expected), `${expected} is missing of:\n${stdout}`);
  }
});
