/**
 * Directories of the host in real sandboxes: live mounts that behave as a file system should and from which there is no
 * way out, copies, and the way back of what was changed in them.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, test } from "node:test";
import { eventually, processesOf, untilClean } from "./support/leftovers.ts";
import { PROGRAM, runHost } from "./support/program.ts";
import { openTestHome } from "./support/test-home.ts";

const SMALL = ["--memory", "512MiB", "--cpus", "1"];
const MIB = 1024 ** 2;
/** Every file takes some round trips between two machines, one of them perhaps emulated and the host busy, `ms`. */
const MANY_FILES_MS = 10 * 60_000;
const home = await openTestHome();
const shared = home.scratch("shared");
const readOnly = home.scratch("read-only");
const outside = home.scratch("outside");
let box = "";
const TOKEN = randomBytes(16).toString("hex");

before(async () => {
  for (const directory of [shared, readOnly, outside, path.join(outside, "dir")]) await mkdir(directory);
  await writeFile(path.join(outside, "secret"), TOKEN);
  await writeFile(path.join(outside, "dir", "file"), TOKEN);
  await writeFile(path.join(readOnly, "file"), "read me");
  const mounts = ["--mount", `${shared}:/mnt/shared:rw`, "--mount", `${readOnly}:/mnt/ro:ro`];
  box = await home.create("--name", "box", ...SMALL, ...mounts, "--mount-quota", "2GB");
});
after(async () => home[Symbol.asyncDispose]());

const at = (...names: string[]): string => path.join(shared, ...names);
const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

async function inBox(line: string): Promise<string> {
  return home.must(["exec", "box", "--cwd", "/mnt/shared", "--", "bash", "-c", line]);
}

/** Names, kinds, modes, sizes and contents of everything in a directory, without following links. */
function fingerprint(directory: string): string {
  const lines = readdirSync(directory, { recursive: true, encoding: "utf8" }).sort();
  return lines
    .map((name) => {
      const file = path.join(directory, name);
      const stats = lstatSync(file);
      const mode = stats.mode.toString(8);
      if (stats.isSymbolicLink()) return `${name} ${mode} -> ${readlinkSync(file)}`;
      return stats.isFile() ? `${name} ${mode} ${stats.nlink} ${sha256(readFileSync(file))}` : `${name} ${mode}`;
    })
    .join("\n");
}

test("what one side writes the other one has: at once on the host, within a second in the guest", async () => {
  await inBox("mkdir -p seen && printf guest > seen/by-guest && chmod 640 seen/by-guest");
  assert.equal(readFileSync(at("seen", "by-guest"), "utf8"), "guest");
  assert.equal(statSync(at("seen", "by-guest")).mode & 0o7777, 0o640);
  assert.equal(await inBox("stat -c '%U:%G %a' seen/by-guest"), "app:app 640");
  await writeFile(at("seen", "by-host"), "host one");
  assert.equal(await inBox("sleep 1; cat seen/by-host"), "host one");
  await writeFile(at("seen", "by-host"), "host two, longer");
  assert.equal(await inBox("sleep 1; cat seen/by-host"), "host two, longer");
  await rename(at("seen", "by-host"), at("seen", "renamed"));
  assert.equal(await inBox("sleep 1; ls seen"), "by-guest\nrenamed");
});

test("git clones, commits and checks out in a mount", async () => {
  const log = await inBox(`set -e
    git init -q repo && cd repo && git config user.email a@example.com && git config user.name A
    for i in $(seq 40); do echo $i > file-$i; done
    git add . && git commit -qm one
    git switch -qc other && git rm -q file-1 && echo two > file-2 && git commit -qam two && git switch -q - 
    git clone -q . ../clone && cd ../clone && git fsck --strict 2>&1 && git status --porcelain
    git merge -q origin/other && git log --format=%s && ls | wc -l`);
  assert.equal(log, "two\none\n39");
  const onHost = await runHost(["git", "-c", "safe.directory=*", "-C", at("clone"), "fsck", "--strict"]);
  assert.equal(onHost.status, 0, onHost.stderr);
});

test("programs run from a mount, and python and node find their modules there", async () => {
  const output = await inBox(`set -e
    mkdir -p prog/node_modules/m prog/pkg && cd prog
    echo 'module.exports = 6' > node_modules/m/index.js && echo 'x = 7' > pkg/__init__.py
    node -e 'console.log(require("m") * 7)'
    python3 -c 'import pkg; print(pkg.x * 6)'
    printf '#!/usr/bin/python3\\nprint(42)\\n' > script && chmod +x script && ./script
    cp /bin/true binary && ./binary && echo fine`);
  assert.equal(output, "42\n42\n42\nfine");
  // Started by the agent itself: program, interpreter and directory are all the host's.
  assert.equal(await home.must(["exec", "box", "--cwd", "/mnt/shared/prog", "--", "./script"]), "42");
});

test("renaming over a file, unlinking an open one and mapping one into memory work as on a disk", async () => {
  const output = await inBox(`python3 - <<'END'
import mmap, os
os.makedirs("posix", exist_ok=True); os.chdir("posix")
open("a", "w").write("a"); open("b", "w").write("b")
held = open("b")
os.replace("a", "b")
print(open("b").read(), held.read(), os.path.exists("a"))
f = open("gone", "w+b"); os.unlink("gone"); f.write(b"x" * 10); f.flush(); f.seek(0)
print(len(f.read()), os.fstat(f.fileno()).st_size, os.fstat(f.fileno()).st_nlink)
open("map", "wb").write(bytes(range(256)) * 400)
m = mmap.mmap(os.open("map", os.O_RDONLY), 0, prot=mmap.PROT_READ)
print(m[255], m[256], len(m))
w = open("map", "r+b"); m = mmap.mmap(w.fileno(), 0); m[5000:5005] = b"HELLO"; m.flush(); m.close(); w.close()
d = os.open(".", os.O_RDONLY); os.mkdir("inner"); os.rename("inner", "outer"); os.fsync(d)
os.link("b", "c"); print(os.stat("b").st_nlink, os.path.samefile("b", "c"))
with open("append", "w") as f: f.write("1")
with open("append", "a") as f: f.write("2")
print(open("append").read())
END`);
  assert.equal(output, "a b False\n10 10 0\n255 0 102400\n2 True\n12");
  const mapped = readFileSync(at("posix", "map"));
  assert.equal(mapped.toString("latin1", 5000, 5005), "HELLO");
  assert.equal(mapped.length, 102_400);
});

test("a large file arrives as it was, in both directions", async () => {
  const bytes = randomBytes(96 * MIB + 13);
  await writeFile(at("large"), bytes);
  const sums = await inBox("sleep 1; sha256sum < large; cp large copy; sync; rm large; sha256sum < copy");
  assert.equal(sums, `${sha256(bytes)}  -\n${sha256(bytes)}  -`);
  assert.equal(sha256(readFileSync(at("copy"))), sha256(bytes));
  await inBox("rm copy");
});

test("five thousand files are listed and removed, five hundred of them read, and five hundred made", async () => {
  for (let directory = 0; directory < 50; directory += 1) {
    await mkdir(at("many", String(directory)), { recursive: true });
    for (let file = 0; file < 100; file += 1) {
      await writeFile(at("many", String(directory), String(file)), `${directory}/${file}`);
    }
  }
  const script = `
import os
print(sum(len(files) for _, _, files in os.walk("many")))
print(all(open(f"many/{d}/{i}").read() == f"{d}/{i}" for d in range(50) for i in range(0, 100, 10)))
os.mkdir("many/own")
for i in range(500): open(f"many/own/{i}", "w").write(str(i))
`;
  const run = async (...argv: string[]): Promise<string> =>
    home.must(["exec", "box", "--cwd", "/mnt/shared", "--", ...argv], { deadlineMs: MANY_FILES_MS });
  assert.equal(await run("python3", "-c", script), "5000\nTrue");
  assert.equal(readdirSync(at("many", "own")).length, 500);
  assert.equal(readFileSync(at("many", "own", "499"), "utf8"), "499");
  await run("rm", "-r", "many");
  assert.equal(existsSync(at("many")), false);
});

/** What a guest may try, as root, in the mount. `link` leads to the host's `outside`, `file-link` to its `secret`. */
const ESCAPES: readonly string[] = [
  "cat file-link",
  "cat link/secret",
  "cat link/dir/file",
  "ls -laR link/",
  "cat ../outside/secret",
  "cat /mnt/shared/../outside/secret",
  "echo gotcha > file-link",
  "echo gotcha >> link/secret",
  "echo gotcha > link/new",
  "mkdir link/new-directory",
  "rm -rf link/secret link/dir",
  "rmdir link/dir",
  "mv link/secret stolen",
  "mv file link/",
  "ln link/secret hard",
  "ln -L file-link hard",
  "ln file-link hard && cat hard",
  "chmod 777 file-link",
  "chmod -R 777 link/",
  "chown 1000 file-link",
  "touch -d 2001-01-01 link/secret file-link",
  "truncate -s 0 file-link",
  "cp -r link/ taken && cat taken/secret",
  "cp --remove-destination file link/secret",
  "ln -sfn OUTSIDE own-link && cat own-link/secret && echo gotcha > own-link/secret",
  "ln -sfn ../outside own-link && cat own-link/secret && echo gotcha > own-link/secret",
  "mkdir trap && mv trap t2 && ln -s ../outside trap && echo gotcha > trap/secret",
  "mknod device c 1 1 && cat device | head -c 10",
  "mknod block b 8 0",
  "mkfifo pipe",
  "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"socket\")'",
  "cp /bin/sh suid && chmod 4755 suid && test -u suid && echo TOKEN",
  "python3 -c 'import os; d = os.open(\"link\", os.O_RDONLY); print(os.listdir(d))'",
  'python3 -c \'import os; d = os.open("dir", os.O_RDONLY); print(open(os.open("../../outside/secret", 0, dir_fd=d)).read())\'',
  "tar cf t.tar --transform 's,^file,../outside/secret,' -P file && tar xPf t.tar",
  "find -L . -name secret -exec cat {} +",
  "cd dir && cat ../../outside/secret",
  "exec 3< link && cat /proc/self/fd/3/secret",
];

test(`${ESCAPES.length} ways out of a mount lead nowhere, and nothing outside of it changes by a byte`, async () => {
  await mkdir(at("escape", "dir"), { recursive: true });
  await writeFile(at("escape", "file"), "inside");
  await symlink("../../outside", at("escape", "link"));
  await symlink("../../outside/secret", at("escape", "file-link"));
  const before = fingerprint(outside);
  const times = lstatSync(path.join(outside, "secret")).mtimeMs;
  for (const attempt of ESCAPES) {
    const line = attempt.replaceAll("OUTSIDE", outside);
    const argv = ["exec", "box", "--user", "root", "--cwd", "/mnt/shared/escape", "--", "bash", "-c", line];
    const { stdout, stderr } = await home.sbx(argv, { deadlineMs: 30_000 });
    assert.ok(!`${stdout}${stderr}`.includes(TOKEN), `read by: ${line}`);
    assert.ok(!stdout.includes("TOKEN"), `set-user-id by: ${line}`);
    assert.equal(fingerprint(outside), before, `changed by: ${line}`);
  }
  assert.equal(lstatSync(path.join(outside, "secret")).mtimeMs, times);
  const kinds = readdirSync(at("escape"), { withFileTypes: true });
  const special = kinds.filter((entry) => !entry.isFile() && !entry.isDirectory() && !entry.isSymbolicLink());
  assert.deepEqual(special, [], "no device, pipe or socket was made");
  assert.equal(statSync(at("escape", "suid"), { throwIfNoEntry: false })?.mode.toString(8).slice(-4) ?? "0755", "0755");
});

test("a directory that the host swaps for a link all the time leads no write or read of the guest outside", async () => {
  await mkdir(at("race", "real"), { recursive: true });
  await writeFile(at("race", "real", "file"), "inside");
  const before = fingerprint(outside);
  const line =
    "end=$((SECONDS + 6)); while ((SECONDS < end)); do echo guest > race/real/file; cat race/real/secret race/real/file;" +
    " mkdir race/real/new; touch race/real/dir/x; rm -f race/real/secret; rmdir race/real/new; done 2>/dev/null; true";
  const guest = inBox(line);
  let swaps = 0;
  const state = { isOver: false };
  const over = guest.finally(() => (state.isOver = true));
  while (!state.isOver) {
    await rename(at("race", "real"), at("race", "aside"));
    await symlink("../../outside", at("race", "real"));
    await new Promise((resolve) => setTimeout(resolve, swaps % 3));
    await rm(at("race", "real"));
    await rename(at("race", "aside"), at("race", "real"));
    await new Promise((resolve) => setTimeout(resolve, swaps % 5));
    swaps += 1;
  }
  const output = await over;
  assert.ok(swaps > 50, `only ${swaps} swaps`);
  assert.ok(!output.includes(TOKEN), "nothing was read");
  assert.ok(output.includes("guest"), "and some of it worked");
  assert.equal(fingerprint(outside), before);
});

test("a read-only mount cannot be written to, by root, or when its mount is made writable", async () => {
  const before = fingerprint(readOnly);
  assert.equal(await home.bash("box", "cat /mnt/ro/file"), "read me");
  const script = `cd /mnt/ro; echo x > new; echo x >> file; rm -f file; mkdir d; mv file g; ln file h; chmod 777 file
    python3 - <<'END'
import ctypes
MS_REMOUNT = 32
print(ctypes.CDLL(None).mount(None, b"/mnt/ro", None, MS_REMOUNT, None))
END
    echo x > new; echo x >> file; rm -f file; mkdir d; mv file g; ln file h; chmod 777 file; true`;
  const { stdout } = await home.sbx(["exec", "box", "--user", "root", "--", "bash", "-c", script]);
  assert.equal(stdout, "0\n", "the guest's kernel has it writable now");
  assert.equal(fingerprint(readOnly), before);
});

test("a guest that fills a mount is stopped by its quota, and can go on when it has removed something", async () => {
  const directory = await mkdtemp(home.scratch("quota-"));
  await home.create("--name", "quota", ...SMALL, "--mount", `${directory}:/q:rw`, "--mount-quota", "16MiB");
  const fill = "dd if=/dev/zero of=/q/big bs=1M count=64 2>&1 | tail -1; stat -c %s /q/big";
  const { stdout, stderr } = await home.sbx(["exec", "quota", "--", "bash", "-c", fill]);
  const size = statSync(path.join(directory, "big")).size;
  assert.ok(size > 14 * MIB && size <= 16 * MIB, `${size}: ${stdout}${stderr}`);
  const sparse = "truncate -s 1T /q/sparse && dd if=/dev/zero of=/q/sparse bs=1M count=8 seek=1000 conv=notrunc 2>&1";
  assert.notEqual((await home.sbx(["exec", "quota", "--", "bash", "-c", sparse])).status, 0);
  await home.bash("quota", "rm /q/big && dd if=/dev/zero of=/q/again bs=1M count=8 status=none");
  await home.must(["kill", "quota"]);
});

test("kill -9 of the supervisor while the guest writes leaves what was written, and nothing else", async () => {
  const directory = await mkdtemp(home.scratch("killed-"));
  const id = await home.create(...SMALL, "--mount", `${directory}:/k:rw`);
  const loop =
    "i=0; while :; do i=$((i+1)); echo line $i > /k/$i.new && mv /k/$i.new /k/$i; done </dev/null &>/dev/null &";
  await home.bash(id, loop);
  await eventually(async () => assert.ok(readdirSync(directory).length > 30));
  const { supervisorPid } = await home.info(id);
  process.kill(supervisorPid ?? 0, "SIGKILL");
  await eventually(async () => assert.equal((await home.info(id)).status, "stopped"));
  await untilClean(home, { alive: [box] });
  const complete = readdirSync(directory).filter((name) => !name.endsWith(".new"));
  for (const name of complete) assert.equal(readFileSync(path.join(directory, name), "utf8"), `line ${name}\n`);
  await rm(directory, { recursive: true });
});

test("what a program changed in a mapped file and nobody wrote is on the host when the sandbox has ended", async () => {
  for (const isPaused of [false, true]) {
    const directory = await mkdtemp(home.scratch("mapped-"));
    await writeFile(path.join(directory, "file"), Buffer.alloc(8192, "a"));
    const id = await home.create(...SMALL, "--mount", `${directory}:/m:rw`);
    const change = "m = mmap.mmap(os.open('/m/file', os.O_RDWR), 0); m[4096:4101] = b'HELLO'";
    const script = `import mmap, os, time; ${change}; print(); time.sleep(1000)`;
    await home.bash(id, `(python3 -uc "${script}" & ) | head -1`);
    if (isPaused) await home.must(["pause", id]);
    await home.must(["kill", id]);
    assert.equal(readFileSync(path.join(directory, "file")).toString("latin1", 4096, 4101), "HELLO");
  }
});

test("files that run code on the host are pointed out when the command is over", async () => {
  const directory = await mkdtemp(home.scratch("risky-"));
  const line = "mkdir -p .git/hooks && echo evil > .git/hooks/post-checkout && echo fine > readme";
  const { stderr } = await home.sbx(["run", ...SMALL, "--mount", `${directory}:/r:rw`, "--cwd", "/r", line]);
  assert.match(stderr, /post-checkout \(a hook of git\)/);
  assert.ok(!stderr.includes("readme"));
});

test("what must not be mounted is refused before anything is made", async () => {
  const before = (await home.list()).length;
  for (const directory of ["/", "/etc", home.path, path.dirname(home.path), home.paths.statePath, "/proc/self"]) {
    const { status, stderr } = await home.sbx(["create", "--detach", "--mount", `${directory}:/x:ro`]);
    assert.notEqual(status, 0, directory);
    assert.match(stderr, /is not mounted/, directory);
  }
  const missing = await home.sbx(["create", "--detach", "--mount", "/no/such/directory:/x:rw"]);
  assert.match(missing.stderr, /no such file or directory/);
  assert.equal((await home.list()).length, before);
});

test("a copy goes where it was told, whoever owns that place; the host's directory stays as it is", async () => {
  const directory = await mkdtemp(home.scratch("copied-"));
  await mkdir(path.join(directory, "sub"));
  await writeFile(path.join(directory, "sub", "script"), "#!/bin/sh\necho ran");
  await chmod(path.join(directory, "sub", "script"), 0o755);
  const before = fingerprint(directory);
  const copies = ["--copy", directory, "--copy", `${directory}:/srv/deep/project`, "--mount", `${directory}:/opt/m`];
  const line = `/app/${path.basename(directory)}/sub/script; /srv/deep/project/sub/script; /opt/m/sub/script
    cd /srv/deep/project && touch own && rm -r sub && ls`;
  assert.equal(await home.must(["run", "-q", ...SMALL, ...copies, line]), "ran\nran\nran\nown");
  assert.equal(fingerprint(directory), before);
});

test("sync shows and brings back exactly what the sandbox changed, and refuses what both sides changed", async () => {
  const directory = await mkdtemp(home.scratch("synced-"));
  for (const name of ["changed", "touched", "both", "removed", "kept"]) {
    await writeFile(path.join(directory, name), `${name} one\n`);
  }
  const id = await home.create("--name", "synced", ...SMALL, "--copy", `${directory}:/w`);
  await home.bash(
    id,
    `cd /w && echo two >> changed && touch touched && echo guest >> both && rm removed
     mkdir -p new/deep && printf 'n' > new/deep/file && ln -s /etc/passwd leads-out && mkfifo pipe
     printf '#!/bin/sh\\n' > tool && chmod +x tool && mkdir .git && echo x > .git/config`,
  );
  const dry = await home.sbx(["sync", "synced", "--dry-run"]);
  assert.equal(dry.status, 0, dry.stderr);
  assert.deepEqual(
    dry.stdout.split("\n").filter((line) => /^[AMD] /.test(line)),
    [
      "A .git/config (2 B)",
      "M both (15 B)",
      "M changed (16 B)",
      "A leads-out",
      "A new/deep/file (1 B)",
      "D removed",
      "A tool (10 B)",
    ],
  );
  assert.match(dry.stdout, /\+two/);
  assert.match(dry.stdout, /leads out of the directory, to \/etc\/passwd/);
  assert.match(dry.stdout, /becomes executable/);
  assert.match(dry.stdout, /settings of git/);
  assert.match(dry.stderr, /not brought back: pipe/);
  await writeFile(path.join(directory, "both"), "host\n");
  const before = fingerprint(directory);
  const refused = await home.sbx(["sync", "synced", "--yes"]);
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /changed on both sides: 'both'/);
  assert.equal(fingerprint(directory), before, "nothing at all was brought");
  await writeFile(path.join(directory, "both"), "both one\n");
  await home.must(["sync", "synced", "--yes", "--delete"]);
  assert.equal(readFileSync(path.join(directory, "changed"), "utf8"), "changed one\ntwo\n");
  assert.equal(readFileSync(path.join(directory, "both"), "utf8"), "both one\nguest\n");
  assert.equal(readlinkSync(path.join(directory, "leads-out")), "/etc/passwd");
  assert.equal(existsSync(path.join(directory, "removed")), false);
  assert.equal(statSync(path.join(directory, "tool")).mode & 0o777, 0o755);
  assert.match((await home.sbx(["sync", "synced", "--yes"])).stderr, /nothing has changed/);
  assert.deepEqual(
    readdirSync(directory).filter((name) => name.startsWith(".sbx")),
    [],
  );
  await home.must(["kill", "synced"]);
});

test("an ordinary account mounts and syncs a directory of its own", async () => {
  const account = `sbxdir${process.pid}`;
  const base = await mkdtemp(path.join("/var/tmp", `${account}-`));
  const own = path.join(base, "home");
  const must = async (...argv: [string, ...string[]]): Promise<string> => {
    const outcome = await runHost(argv, { cwd: "/" });
    assert.equal(outcome.status, 0, `${argv.join(" ")}: ${outcome.stderr}`);
    return outcome.stdout;
  };
  await must("useradd", "--create-home", "--home-dir", own, "--shell", "/bin/bash", account);
  try {
    const { prepared } = await import("./support/test-home.ts");
    await must("mkdir", "-p", path.join(own, ".local/share/sbx"), path.join(own, "project"));
    await must(
      "cp",
      "-r",
      "--sparse=always",
      path.join(prepared.dataPath, "images"),
      path.join(own, ".local/share/sbx"),
    );
    await writeFile(path.join(own, "project", "file"), "one\n");
    await must("chown", "-R", `${account}:`, own);
    await must("chmod", "755", base);
    const environment = [`HOME=${own}`, `USER=${account}`, "PATH=/usr/local/bin:/usr/bin:/bin"];
    const sbx = async (...args: string[]): Promise<string> =>
      must("runuser", "-u", account, "--", "env", "-i", ...environment, ...PROGRAM, ...args);
    const project = path.join(own, "project");
    await sbx("run", "-q", ...SMALL, "--mount", `${project}:/p:rw`, "cat /p/file && echo two > /p/made");
    assert.equal(readFileSync(path.join(project, "made"), "utf8"), "two\n");
    assert.equal(statSync(path.join(project, "made")).uid, Number(await must("id", "-u", account)));
    await sbx("create", "-q", "--detach", "--name", "mine", ...SMALL, "--copy", `${project}:/c`);
    await sbx("exec", "mine", "--", "bash", "-c", "echo three >> /c/file");
    await sbx("sync", "mine", "--yes");
    assert.equal(readFileSync(path.join(project, "file"), "utf8"), "one\nthree\n");
    await sbx("kill", "mine");
  } finally {
    for (const { pid } of await processesOf([base])) process.kill(pid, "SIGKILL");
    const uid = (await runHost(["id", "-u", account])).stdout.trim();
    await runHost(["userdel", account]);
    await runHost(["rm", "-rf", base, `/tmp/sbx-${uid}`]);
  }
});
