/**
 * SFTP in a real machine, whose image has no server for it: whose rights a session has, that the kernel says what it may,
 * and that nothing of it is left. OpenSSH's clients against the server alone are in guest/sftp_test.go.
 */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { lstat, mkdir, readFile, symlink, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, test } from "node:test";
import { eventually } from "./support/leftovers.ts";
import { runHost, type Outcome } from "./support/program.ts";
import { openTestHome } from "./support/test-home.ts";

const MIB = 1024 * 1024;

const home = await openTestHome();
const name = "files";
let configPath = "";
before(async () => {
  await home.create("--name", name, "--timeout", "20m");
  await mkdir(home.scratch("."), { recursive: true });
  configPath = home.scratch("ssh-config");
  await writeFile(configPath, await home.must(["ssh-config", "--print"]));
});
after(async () => home[Symbol.asyncDispose]());

const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

/** Runs commands of sftp in the scratch directory, as `app` or somebody else, up to the first that fails. */
async function sftp(commands: string[], user = "app"): Promise<Outcome> {
  const argv = ["sftp", "-q", "-F", configPath, "-b", "-", `${user}@${name}.sbx`] as const;
  return runHost(argv, { env: home.env, cwd: home.scratch("."), input: `${commands.join("\n")}\n` });
}

/** Starts ssh or sftp; `input` are its commands. */
function start(argv: readonly [string, ...string[]], input = ""): ChildProcess {
  const [file, ...rest] = argv;
  const child = spawn(file, rest, { env: home.env, cwd: home.scratch("."), stdio: ["pipe", "ignore", "inherit"] });
  child.stdin.end(input);
  return child;
}

async function must(commands: string[], user = "app"): Promise<string> {
  const { status, stdout, stderr } = await sftp(commands, user);
  assert.equal(status, 0, stdout + stderr);
  return stdout;
}

test("the image has no SFTP server, and a session begins in the account's home all the same", async () => {
  const found = await home.bash(name, "ls -d /usr/lib*/{,openssh/,ssh/}sftp-server 2>/dev/null || true");
  assert.equal(found, "");
  assert.match(await must(["pwd"]), /Remote working directory: \/home\/app\n/);
  assert.match(await must(["pwd"], "root"), /Remote working directory: \/root\n/);
});

test("a session has the rights of its account and its files belong to it, in the sandbox's control group", async () => {
  await writeFile(home.scratch("small"), "content", { mode: 0o640 });
  const refused = await sftp(["put small /root/small"]);
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /Permission denied/);
  assert.match((await sftp(["ls /root"])).stderr, /Permission denied/);
  await must(["put small", "ls -l small"]);
  assert.equal(await home.bash(name, "stat -c '%U %G %a' small"), "app app 640");
  await must(["put small /root/small", "chown 1000 /root/small"], "root");
  assert.equal(
    await home.must(["exec", "--user", "root", name, "--", "stat", "-c", "%U %G", "/root/small"]),
    "app root",
  );
  const groups = "for p in $(pgrep -x sftp-server); do cat /proc/$p/cgroup; done; stat -c %U /proc/$p";
  const line = `!ssh -F ${configPath} ${name}.sbx '${groups}'`;
  assert.match(await must([line]), /0::\/user(\/.*)?\napp\n/);
});

test("a large file and a tree of odd names are the same on both sides", async () => {
  const big = randomBytes(48 * MIB + 4321);
  await writeFile(home.scratch("big"), big);
  const tree = home.scratch("tree");
  await mkdir(path.join(tree, "a b", "deep"), { recursive: true });
  for (const [index, file] of ["plain", "a b/deep/-dash", "a b/ünï", "q\"uo'te", "*?[x]", "new\nline"].entries()) {
    await writeFile(path.join(tree, file), randomBytes(index * 1000), { mode: 0o600 });
    await utimes(path.join(tree, file), 1_500_000_000 + index, 1_500_000_000 + index);
  }
  await must(["put big", "get big back", "put -pR tree", "get -pR tree again"]);
  assert.equal(await home.bash(name, "sha256sum < big"), `${sha256(big)}  -`);
  assert.equal(sha256(await readFile(home.scratch("back"))), sha256(big));
  const compared = await runHost(["diff", "-r", tree, home.scratch("again")], { env: home.env });
  assert.equal(compared.status, 0, compared.stdout);
  const { mode, mtimeMs } = await lstat(path.join(home.scratch("again"), "a b/ünï"));
  assert.deepEqual([mode & 0o777, mtimeMs], [0o600, 1_500_000_002_000]);
  const copied = ["scp", "-q", "-F", configPath, home.scratch("big"), `${name}.sbx:by scp`] as const;
  assert.equal((await runHost(copied, { env: home.env })).status, 0);
  assert.equal(await home.bash(name, "sha256sum < 'by scp'"), `${sha256(big)}  -`);
});

test("a transfer that broke off is gone on with, and a link of the guest is not followed on the host", async () => {
  const content = randomBytes(3 * MIB);
  await writeFile(home.scratch("whole"), content);
  await writeFile(home.scratch("part"), content.subarray(0, MIB + 7));
  await must(["put part rest", "reput whole rest", "put whole", "reget whole part"]);
  assert.equal(await home.bash(name, "sha256sum < rest"), `${sha256(content)}  -`);
  assert.equal(sha256(await readFile(home.scratch("part"))), sha256(content));
  await home.bash(name, "mkdir -p links && ln -sf /etc/shadow links/shadow && echo x > links/file");
  await symlink("/etc/passwd", home.scratch("own"));
  await must(["get -R links got", "put own own"]);
  await assert.rejects(lstat(home.scratch("got/shadow")), { code: "ENOENT" });
  assert.equal(await readFile(home.scratch("got/file"), "utf8"), "x\n");
});

test("the disk's room and a full disk are told", async () => {
  assert.match(await must(["df -h /"]), /%Capacity/);
  const full = await sftp(["put whole /dev/full"]);
  assert.equal(full.status, 1);
  assert.match(full.stderr, /Failure|No space left/);
});

test("the account that logged in is who connects to a Unix socket of the guest", async () => {
  const server = [
    "import socket, struct, os",
    "s = socket.socket(socket.AF_UNIX)",
    "s.bind('/home/app/door')",
    "os.chmod('/home/app/door', 0o600)",
    "s.listen()",
    "while True:",
    "    c, _ = s.accept()",
    "    uid = struct.unpack('3i', c.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]",
    "    c.sendall(b'%d\\n' % uid)",
    "    c.close()",
  ].join("\n");
  await home.bash(
    name,
    `nohup python3 -c "$0" > /dev/null 2>&1 & until [ -S door ]; do sleep 0.05; done`.replace("$0", server),
  );
  for (const [user, said] of [
    ["app", "1000\n"],
    ["root", "0\n"],
    ["nobody", ""],
  ] as const) {
    const local = home.scratch(`door-${user}`);
    const argv = ["ssh", "-F", configPath, "-N", "-L", `${local}:/home/app/door`, `${user}@${name}.sbx`] as const;
    const forwarding = start(argv);
    try {
      await eventually(async () => lstat(local));
      const read =
        "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(s.recv(99).decode(),end='')";
      const { stdout } = await runHost(["python3", "-c", read, local], { env: home.env });
      assert.equal(stdout, said, user);
    } finally {
      forwarding.kill();
    }
  }
});

test("nothing of a session is left when its client was killed in the middle of a transfer", async () => {
  await home.bash(name, "truncate -s 2G endless");
  const argv = ["sftp", "-q", "-F", configPath, "-b", "-", `app@${name}.sbx`] as const;
  const client = start(argv, "get endless\n");
  const servers = async (): Promise<string> =>
    home.must(["exec", name, "--", "sh", "-c", "pgrep -cx sftp-server || true"]);
  await eventually(async () => assert.equal(await servers(), "1"));
  client.kill("SIGKILL");
  await eventually(async () => assert.equal(await servers(), "0"));
});
