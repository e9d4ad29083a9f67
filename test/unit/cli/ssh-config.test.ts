/** What `sbx ssh-config` writes: for every ssh from 8.4 on, with any path, and without a scratch on what is the user's. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test, type TestContext } from "node:test";
import { clientConfig, parseSshVersion } from "../../../src/cli/ssh/client-config.ts";
import { addInclude, hasInclude, removeInclude } from "../../../src/cli/ssh/include-line.ts";
import { clientArguments } from "../../../src/cli/ssh/run-client.ts";
import { readUserConfig, replaceUserConfig } from "../../../src/cli/ssh/user-config.ts";

const CONFIG_PATH = "/home/me/.local/share/sbx/ssh/config";

function scratch(t: TestContext): string {
  const directory = mkdtempSync(path.join(tmpdir(), "sbx-ssh-config-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function configFor(directory: string, program = ["/usr/bin/node", "--", "/opt/sbx/bin/run.js"]): string {
  const files = {
    directoryPath: directory,
    identityPath: path.join(directory, "id"),
    knownHostsPath: path.join(directory, "known_hosts"),
    serverKnownHostsPath: path.join(directory, "known_hosts.servers"),
  };
  return clientConfig({ files, program, env: { SBX_HOME: directory }, version: { major: 8, minor: 4 } });
}

/** What ssh makes of a configuration. */
function resolved(directory: string, config: string, host: string): string {
  const file = path.join(directory, "config");
  writeFileSync(file, config, { mode: 0o600 });
  return execFileSync("ssh", ["-G", "-F", file, host], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

test("ssh takes it, for sandboxes only, whatever is in the paths", (t) => {
  const directory = path.join(scratch(t), "a b 'c' 100% é");
  mkdirSync(directory);
  const config = configFor(directory, ["/a node/it's", "--", "/100%/run.js"]);
  const own = resolved(directory, config, "web.sbx");
  assert.match(own, /^user app$/m);
  assert.match(own, /^stricthostkeychecking true$/m);
  assert.match(own, /^proxyusefdpass yes$/m);
  assert.match(own, /^forwardagent no$/m);
  assert.ok(own.includes(`identityfile ${directory.replaceAll("%", "%%")}/id\n`), own);
  const onServer = resolved(directory, config, "web.work.sbx");
  // The connection is no socket of this machine's that could be handed over.
  assert.match(onServer, /^proxyusefdpass no$/m);
  assert.match(onServer, /^user app$/m);
  assert.ok(onServer.includes(`userknownhostsfile ${directory}/known_hosts.servers\n`), onServer);
  assert.ok(own.includes(`userknownhostsfile ${directory}/known_hosts\n`), own);
  assert.doesNotMatch(resolved(directory, config, "example.com"), /ssh-proxy|user app/);
});

test("the shell that runs ProxyCommand starts sbx with the words that were meant", (t) => {
  const directory = path.join(scratch(t), "it's a place");
  mkdirSync(directory);
  const seen = path.join(directory, "seen");
  const program = path.join(directory, "own sbx");
  writeFileSync(program, `#!/bin/sh\nprintf '%s\\n' "$SBX_HOME" "$@" > '${seen.replaceAll("'", `'\\''`)}'\n`, {
    mode: 0o700,
  });
  const file = path.join(directory, "config");
  writeFileSync(file, configFor(directory, [program, "--", "x y"]), { mode: 0o600 });
  assert.throws(() => execFileSync("ssh", ["-F", file, "web.sbx", "true"], { stdio: "pipe" }));
  assert.equal(readFileSync(seen, "utf8"), `${directory}\n--\nx y\nssh-proxy\nweb.sbx\n`);
});

test("a host name with a quote, by which it would leave its place in the shell's line, is not sbx's", (t) => {
  const hosts = configFor(scratch(t)).match(/^Host .*$/gm);
  assert.deepEqual(hosts, [`Host *.*.sbx "!*'*"`, `Host *.sbx "!*'*"`]);
  // Versions of ssh that refuse such names by themselves end here.
  const resolve = (): string => resolved(scratch(t), configFor("/d"), "a'b.sbx");
  try {
    assert.doesNotMatch(resolve(), /ssh-proxy/);
  } catch (error) {
    assert.match(String((error as { stderr?: unknown }).stderr), /hostname contains invalid characters/);
  }
});

test("a command that looks like an option of ssh's is a command", (t) => {
  const directory = scratch(t);
  const file = path.join(directory, "config");
  writeFileSync(file, "", { mode: 0o600 });
  const [option, proxy] = [path.join(directory, "option"), "-oProxyCommand=exit 1"];
  const args = clientArguments(file, "web", { command: [`-oProxyCommand=touch ${option}`] });
  assert.throws(() => execFileSync("ssh", [proxy, ...args], { stdio: "pipe" }));
  assert.equal(existsSync(option), false);
});

test("options of newer versions are only for those", () => {
  const files = {
    directoryPath: "/d",
    identityPath: "/d/id",
    knownHostsPath: "/d/known_hosts",
    serverKnownHostsPath: "/d/servers",
  };
  const config = (text: string): string =>
    clientConfig({ files, program: ["sbx"], env: {}, version: parseSshVersion(text) });
  for (const text of ["OpenSSH_8.4p1 Debian-5", "OpenSSH_9.9p2", "OpenSSH_10.0p2", "dropbear"]) {
    assert.doesNotMatch(config(text), /WarnWeakCrypto/, text);
  }
  for (const text of ["OpenSSH_10.1p1", "OpenSSH_10.2p1, OpenSSL 3.5.0", "OpenSSH_11.0"]) {
    assert.match(config(text), /WarnWeakCrypto no-pq-kex/, text);
  }
});

test("a path that ssh_config cannot hold is refused", () => {
  for (const bad of ['/a"b', "/a\nb", "/${HOME}"]) {
    const files = {
      directoryPath: bad,
      identityPath: `${bad}/id`,
      knownHostsPath: `${bad}/hosts`,
      serverKnownHostsPath: `${bad}/servers`,
    };
    const make = (): string => clientConfig({ files, program: ["sbx"], env: {}, version: undefined });
    assert.throws(make, { code: "config_invalid" });
  }
});

test("the line goes to the top once, and is taken away without a trace", () => {
  const theirs = "Host work\n  User me\n\n# the end, without a newline";
  const added = addInclude(theirs, CONFIG_PATH);
  assert.equal(added.split("\n")[1], `Include "${CONFIG_PATH}"`);
  assert.ok(added.endsWith(theirs));
  assert.equal(hasInclude(theirs, CONFIG_PATH), false);
  assert.equal(hasInclude(added, CONFIG_PATH), true);
  assert.equal(addInclude(added, CONFIG_PATH), added);
  assert.equal(removeInclude(added, CONFIG_PATH), theirs);
  assert.equal(removeInclude(addInclude("", CONFIG_PATH), CONFIG_PATH), "");
});

test("the line finds sbx's file whatever is in its path", (t) => {
  for (const name of ["a[b]", "a*b", "a?b", "a b"]) {
    const directory = path.join(scratch(t), name);
    mkdirSync(directory);
    const own = path.join(directory, "own");
    writeFileSync(own, configFor(directory), { mode: 0o600 });
    const line = addInclude("", own);
    assert.match(resolved(directory, line, "web.sbx"), /^user app$/m, name);
    assert.ok(hasInclude(line, own));
    assert.equal(removeInclude(line, own), "");
  }
});

test("a line that goes for one host only is moved to where it goes for all", () => {
  const below = `Host work\n  Include "${CONFIG_PATH}"\n`;
  assert.equal(hasInclude(below, CONFIG_PATH), false);
  const added = addInclude(below, CONFIG_PATH);
  assert.equal(added.split(`Include "${CONFIG_PATH}"`).length, 2);
  assert.equal(hasInclude(added, CONFIG_PATH), true);
});

test("the user's file keeps its mode, its link and bytes that are no text", (t) => {
  const directory = scratch(t);
  const real = path.join(directory, "dotfiles");
  const link = path.join(directory, "config");
  writeFileSync(real, Buffer.from([0x23, 0xff, 0xfe, 0x0a]));
  chmodSync(real, 0o640);
  symlinkSync(real, link);
  const before = readUserConfig(link);
  replaceUserConfig(link, before, addInclude(before, "/é"));
  assert.equal(statSync(real).mode & 0o777, 0o640);
  assert.equal(readFileSync(link, "latin1").endsWith("#\u00ff\u00fe\n"), true);
  assert.ok(readFileSync(link).includes(Buffer.from('Include "/é"')));
  const after = readUserConfig(link);
  replaceUserConfig(link, after, removeInclude(after, "/é"));
  assert.deepEqual(readFileSync(real), Buffer.from([0x23, 0xff, 0xfe, 0x0a]));
});

test("a file that another program has changed meanwhile is left alone", (t) => {
  const file = path.join(scratch(t), "config");
  writeFileSync(file, "Host a\n");
  const before = readUserConfig(file);
  writeFileSync(file, "Host b\n");
  assert.throws(() => replaceUserConfig(file, before, "ours"), { code: "file_error" });
  assert.equal(readFileSync(file, "utf8"), "Host b\n");
});

test("several words of a command reach the sandbox's shell as they are", () => {
  const words = clientArguments("/c", "web", { command: ["printf", "%s\n", "a b", "", "it's", "$HOME"], user: "root" });
  assert.deepEqual(words.slice(0, 6), ["-F", "/c", "-l", "root", "web.sbx", "--"]);
  assert.equal(execFileSync("sh", ["-c", words[6] ?? ""], { encoding: "utf8" }), "a b\n\nit's\n$HOME\n");
  assert.deepEqual(clientArguments("/c", "web", { command: ["ls | wc"] }).slice(-1), ["ls | wc"]);
  assert.deepEqual(clientArguments("/c", "web", { command: [], local: ["1:a:2"], "no-command": true }), [
    ...["-F", "/c", "-L", "1:a:2", "-o", "ExitOnForwardFailure=yes", "-N", "web.sbx"],
  ]);
});
