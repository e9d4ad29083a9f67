/** The default image in a real machine: what users expect of it, and what must not be in it. */
import assert from "node:assert/strict";
import { hostname } from "node:os";
import { after, before, test } from "node:test";
import { openTestHome } from "./support/test-home.ts";

const home = await openTestHome();
let id = "";
before(async () => {
  id = await home.create();
});
after(async () => home[Symbol.asyncDispose]());

const bash = async (line: string): Promise<string> => home.bash(id, line);

test("commands run as app, in its home, which it can write to", async () => {
  assert.equal(await bash("id -un; id -u; pwd; echo $HOME; echo $SHELL"), "app\n1000\n/home/app\n/home/app\n/bin/bash");
  assert.equal(await bash("touch mine && stat -c %U mine"), "app");
});

test("app is root without a password, and sudo has nothing to complain about", async () => {
  const { status, stdout, stderr } = await home.sbx(["exec", id, "--", "sudo", "-n", "id", "-un"]);
  assert.deepEqual([status, stdout, stderr], [0, "root\n", ""]);
});

test("/app is there for the user's program", async () => {
  assert.equal(await bash("echo x > /app/file && stat -c '%U %a' /app"), "app 755");
});

test("the tools that people expect are there", async () => {
  const tools =
    "bash python python3 pip git curl wget jq rg gcc cc make ps top ip ss sudo less nano vi xz zip unzip file ssh rsync node npm npx deno tar gzip bzip2 zstd find xargs awk sed patch lsof tree nc ping kmod";
  assert.equal(await bash(`for tool in ${tools}; do command -v $tool > /dev/null || echo "no $tool"; done`), "");
});

test("python has its whole standard library", async () => {
  const script = `
import importlib, sys
# Of other systems; games and tests that Debian ships apart.
foreign = {"_ios_support", "_overlapped", "_scproxy", "_winapi", "_wmi", "msvcrt", "nt", "winreg", "winsound"}
apart = {"antigravity", "idlelib", "this", "turtledemo", "__main__"}
for name in sorted(sys.stdlib_module_names - foreign - apart):
    try:
        importlib.import_module(name)
    except ImportError as error:
        print(name, error)
`;
  assert.equal(await home.must(["exec", id, "--", "python3", "-c", script]), "");
});

test("a virtual environment can be made and has pip", async () => {
  // Under emulation, on a loaded machine, pip takes minutes to install itself.
  const patience = { deadlineMs: 8 * 60_000 };
  assert.match(
    await home.bash(id, "python3 -m venv env && env/bin/pip --version", patience),
    /^pip .* from \/home\/app\/env\//,
  );
});

test("pip and npm install for app where everyone's PATH leads, without sudo", async () => {
  assert.equal(
    await bash(
      "pip config list | grep break-system; test -w $(npm prefix -g)/lib && test -w $(npm prefix -g)/bin && echo writable",
    ),
    "global.break-system-packages='true'\nwritable",
  );
  const project = 'mkdir -p p && cd p && printf \'[project]\\nname="hi"\\nversion="1"\\n\' > pyproject.toml';
  await bash(`${project} && mkdir hi && echo 'print(42)' > hi/__main__.py`);
  await bash('cd p && printf \'{"name":"hi","version":"1.0.0","bin":"hi.js"}\' > package.json');
  await bash("cd p && printf '#!/usr/bin/env node\\nconsole.log(6*7)\\n' > hi.js && chmod +x hi.js");
  await bash("cd p && npm install --global --offline --install-links .");
  assert.equal(await home.must(["exec", id, "--", "hi"]), "42");
});

test("a C program is compiled and runs", async () => {
  const source = '#include <stdio.h>\\nint main(void) { puts("42"); return 0; }\\n';
  assert.equal(await bash(`printf '${source}' > a.c && make -s CFLAGS=-Wall a && ./a`), "42");
});

test("node and deno run programs", async () => {
  assert.equal(await home.must(["exec", id, "--", "node", "-p", "6*7"]), "42");
  assert.equal(await home.must(["exec", id, "--", "deno", "eval", "console.log(6*7 as number)"]), "42");
});

test("the kernel has its modules, also for what users load themselves", async () => {
  assert.equal(await bash("sudo modprobe tun && test -c /dev/net/tun && echo there"), "there");
});

test("text is UTF-8 and the clock is UTC", async () => {
  assert.equal(await bash("bash -lc 'locale charmap'; date +%Z"), "UTF-8\nUTC");
});

test("names resolve for this machine and fail at once for others, as nothing is allowed", async () => {
  assert.equal(
    await bash("getent hosts localhost > /dev/null && getent hosts $(hostname) > /dev/null && echo both"),
    "both",
  );
  assert.equal((await home.sbx(["exec", id, "--", "getent", "hosts", "example.org"])).status, 2);
});

test("a login shell finds what app installs for itself", async () => {
  assert.equal(
    await bash(
      "mkdir -p ~/.local/bin && printf '#!/bin/sh\\necho mine\\n' > ~/.local/bin/mine && chmod +x ~/.local/bin/mine && bash -lc mine",
    ),
    "mine",
  );
});

test("the machine's identity is its own, and nothing tells of the host", async () => {
  const machineId = await bash("cat /etc/machine-id");
  assert.match(machineId, /^[0-9a-f]{32}$/);
  assert.notEqual(await bash("hostname"), hostname());
  assert.equal(await bash("sudo find / -xdev -name '*mmdebstrap*' 2> /dev/null"), "");
  assert.equal(
    await bash("sudo ls /var/log /var/lib/apt/lists /root /boot | grep -v '^/' | grep -v '^$' | sort -u"),
    "apt\npartial",
  );
  assert.equal(
    await bash("cat /etc/resolv.conf"),
    "nameserver 198.19.0.1",
    "the gateway of every sandbox, not the host's",
  );
  assert.equal(await bash("sudo find / -xdev '(' -nouser -o -nogroup ')' | head"), "");
});

test("the sources of apt hold no credentials", async () => {
  assert.equal(await bash("grep -c @ /etc/apt/sources.list.d/debian.list || true"), "0");
  assert.match(await bash("cat /etc/apt/sources.list.d/debian.list"), /^deb \[signed-by=\S+\] http/);
});

test("the file system is sound and as large as the disk", async () => {
  const bytes = Number((await bash("df --output=size -B1 / | tail -1")).trim());
  assert.ok(bytes > 9e9, `${bytes} bytes`);
});
