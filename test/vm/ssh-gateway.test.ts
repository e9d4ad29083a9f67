/**
 * SSH into a sandbox through `sbx serve`, with the published SDK and the programs that people have. What the sandbox's own
 * SSH services do is the subject of ssh.test.ts; here it is that they come through.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { after, before, describe, test } from "node:test";
import { Sandbox } from "@deno/sandbox";
import { runHost, type Outcome, type RunOptions } from "./support/program.ts";
import { SdkServer } from "./support/sdk-server.ts";
import { openTestHome, type TestHome } from "./support/test-home.ts";

const MiB = 1024 ** 2;

describe("SSH through sbx serve", { timeout: 240_000 }, () => {
  let home: TestHome;
  let server: SdkServer;
  let id = "";
  let login = { hostname: "", username: "" };
  const env = (): NodeJS.ProcessEnv => ({ ...home.env, HOME: home.scratch("home") });

  before(async () => {
    home = await openTestHome();
    server = await SdkServer.open(home);
    useServer();
    const sandbox = await Sandbox.create({ timeout: "5m", allowNet: [], ssh: true, env: { COLOUR: "green" } });
    id = sandbox.id;
    login = sandbox.ssh ?? login;
    mkdirSync(home.scratch("home"), { recursive: true });
    const { hostKey, port } = server.ssh;
    writeFileSync(home.scratch("known_hosts"), `[127.0.0.1]:${port} ${hostKey}\n`);
  });

  after(async () => {
    await server[Symbol.asyncDispose]();
    await home[Symbol.asyncDispose]();
  });

  function useServer(): void {
    process.env.DENO_SANDBOX_ENDPOINT = server.url;
    process.env.DENO_DEPLOY_ENDPOINT = server.url;
    process.env.DENO_DEPLOY_TOKEN = server.token ?? process.env.DENO_DEPLOY_TOKEN ?? "";
  }

  /** Options that any of OpenSSH's programs takes; the host key is checked. */
  function options(): string[] {
    const checked = ["-o", `UserKnownHostsFile=${home.scratch("known_hosts")}`, "-o", "StrictHostKeyChecking=yes"];
    return [...checked, "-o", "LogLevel=ERROR", "-o", "BatchMode=yes", "-o", `Port=${server.ssh.port}`, "-F", "none"];
  }

  async function ssh(words: readonly string[], more: Partial<RunOptions> = {}): Promise<Outcome> {
    const place = `${login.username}@${login.hostname}`;
    return runHost(["ssh", ...options(), ...words.map((word) => (word === "@" ? place : word))], {
      env: env(),
      ...more,
    });
  }

  async function must(outcome: Promise<Outcome>): Promise<string> {
    const { status, stdout, stderr } = await outcome;
    assert.equal(status, 0, `${stdout}${stderr}`);
    return stdout;
  }

  test("ssh username@hostname runs commands as the sandbox's user, with its environment, input, status and signals", async () => {
    assert.deepEqual([login.hostname, /^ssh_[0-9a-f]{40}$/.test(login.username)], ["127.0.0.1", true]);
    const outcome = await ssh(["@", "id -un; echo $COLOUR; cat; echo err >&2; exit 3"], { input: "in\n" });
    assert.deepEqual([outcome.status, outcome.stdout, outcome.stderr], [3, "app\ngreen\nin\n", "err\n"]);
    assert.equal((await ssh(["@", "kill -TERM $$"])).status, 255);
    assert.equal((await ssh(["@", "yes | head -1"])).stdout, "y\n");
    const shell = await must(ssh(["-tt", "@"], { input: "stty size; tty; exit\n" }));
    assert.match(shell, /24 80[^]*\/dev\/pts\/\d/);
  });

  test("what is sent comes back unharmed, also while keys are exchanged anew", async () => {
    const input = Buffer.alloc(48 * MiB, "0123456789abcde");
    const outcome = await ssh(["-o", "RekeyLimit=8M", "@", "cat"], { input });
    assert.equal(outcome.stderr, "");
    assert.ok(outcome.bytes.equals(input));
  });

  test("files by scp and sftp, several sessions on a connection, -L, -D and Unix sockets come through", async () => {
    const [file, back, master] = [home.scratch("file"), home.scratch("back"), home.scratch("master")];
    writeFileSync(file, Buffer.alloc(MiB, "content\n"));
    const place = `${login.username}@${login.hostname}`;
    await must(runHost(["scp", "-q", ...options(), file, `${place}:copy`], { env: env() }));
    const batch = `get copy ${back}\nquit\n`;
    await must(runHost(["sftp", "-q", ...options(), "-b", "-", place], { env: env(), input: batch }));
    assert.ok(readFileSync(back).equals(readFileSync(file)));
    const serve = `python3 -m http.server -b 127.0.0.1 -d /home/app 5000 >/dev/null 2>&1 </dev/null &
      python3 -c "$1" >/dev/null 2>&1 </dev/null &
      until [ -S /tmp/s ] && curl -sf -o /dev/null http://127.0.0.1:5000/; do sleep 0.1; done`;
    const unix =
      "import socket,os\nl=socket.socket(socket.AF_UNIX);l.bind('/tmp/b');l.listen();os.rename('/tmp/b','/tmp/s')\n" +
      "while True:\n c,_=l.accept();c.recv(99);c.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\nhello');c.close()";
    await must(ssh(["@", `set -- ${quote(unix)}; ${serve}`]));
    const [forward, proxy, local] = [await freePort(), await freePort(), home.scratch("local.sock")];
    const doors = ["-L", `${forward}:127.0.0.1:5000`, "-D", `${proxy}`, "-L", `${local}:/tmp/s`];
    await must(ssh(["-M", "-S", master, "-f", "-N", "-o", "ExitOnForwardFailure=yes", ...doors, "@"]));
    const curl = async (...words: string[]): Promise<string> => must(runHost(["curl", "-sf", ...words]));
    assert.equal((await curl(`http://127.0.0.1:${forward}/copy`)).length, MiB);
    assert.equal((await curl("--socks5-hostname", `127.0.0.1:${proxy}`, "http://localhost:5000/copy")).length, MiB);
    assert.equal(await curl("--unix-socket", local, "http://x/"), "hello");
    const both = [0, 1].map(async (index) => must(ssh(["-S", master, "@", `sleep 0.2; echo ${index}`])));
    assert.deepEqual(await Promise.all(both), ["0\n", "1\n"]);
    await must(ssh(["-S", master, "-O", "exit", "@"]));
  });

  test("what would let the sandbox reach back is refused, and a name that is none gets nowhere", async () => {
    const agent = { env: { ...env(), SSH_AUTH_SOCK: "/nowhere" } };
    assert.equal((await ssh(["-A", "@", "echo agent=$SSH_AUTH_SOCK"], agent)).stdout, "agent=\n");
    const remote = await ssh(["-o", "ExitOnForwardFailure=yes", "-R", "9999:localhost:22", "@", "true"]);
    assert.equal(remote.status, 255);
    const stranger = await ssh([`ssh_${"0".repeat(40)}@127.0.0.1`, "true"]);
    assert.deepEqual([stranger.status, stranger.stdout], [255, ""]);
    assert.match(stranger.stderr, /Permission denied \(publickey\)/);
  });

  test("ssh-audit finds nothing to fault", async () => {
    const { stdout } = await runHost(["ssh-audit", "-n", "-p", String(server.ssh.port), "127.0.0.1"]);
    const faults = stdout.split("\n").filter((line) => /\[fail\]|\[warn\]/.test(line));
    // Debian 12's (2.5.0) is older than strict key exchange, whose mark it takes for an algorithm that it does not know.
    assert.deepEqual(
      faults.filter((line) => !/^\(kex\) kex-strict-s-v00@openssh\.com +-- \[warn\] unknown algorithm$/.test(line)),
      [],
    );
    assert.ok(stdout.includes("curve25519-sha256"), stdout);
  });

  test("the sandbox and the name outlive a server that is killed; both end with the sandbox", async () => {
    const { port } = server.ssh;
    const held = ssh(["@", "sleep 60"]);
    assert.equal(await server.end("SIGKILL"), null);
    assert.equal((await held).status, 255);
    server = await SdkServer.open(home, ["--ssh-listen", `127.0.0.1:${port}`]);
    useServer();
    assert.equal(await must(ssh(["@", "echo again; cat copy | wc -c"])), `again\n${MiB}\n`);
    const last = ssh(["@", "echo on; sleep 60"]);
    const sandbox = await Sandbox.connect({ id });
    await sandbox.kill();
    const { status } = await last;
    assert.equal(status, 255);
    assert.equal((await ssh(["@", "true"])).status, 255);
    await assert.rejects(async () => sandbox.exposeSsh(), /404/);
  });
});

/** For a shell. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
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
