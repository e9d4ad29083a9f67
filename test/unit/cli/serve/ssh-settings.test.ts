/** Where the SSH gateway is: the option before the configuration before a port of its own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDoorListen } from "../../../../src/cli/serve/gateway-listen.ts";
import { sshSettings } from "../../../../src/cli/serve/ssh-settings.ts";
import { parseServerConfig } from "../../../../src/server/config.ts";

function configOf(text: object): ReturnType<typeof parseServerConfig>["ssh"] {
  return parseServerConfig(JSON.stringify(text), "test.json").ssh;
}

test("without a word SSH is on this machine alone, at 2222 or a free port", () => {
  assert.deepEqual(sshSettings(undefined, configOf({}), undefined), {
    ...{ listen: { host: "127.0.0.1", port: 2222 }, orFreePort: true, hostKeyPath: null },
    ...{ publicHost: null, publicPort: null },
  });
});

test("an address that was named is that one or none, and the option goes before the configuration", () => {
  const config = configOf({ ssh: { listen: "0.0.0.0:22", publicPort: 2200, hostKey: "/etc/key" } });
  const configured = { listen: { host: "0.0.0.0", port: 22 }, orFreePort: false };
  const facts = { hostKeyPath: "/etc/key", publicHost: null, publicPort: 2200 };
  assert.deepEqual(sshSettings(undefined, config, "f"), { ...configured, ...facts });
  assert.deepEqual(sshSettings(parseDoorListen("[::1]:0"), config, "f")?.listen, { host: "::1", port: 0 });
  assert.equal(sshSettings(parseDoorListen("off"), config, "f"), undefined);
  assert.equal(sshSettings(undefined, configOf({ ssh: { listen: "off" } }), "f"), undefined);
  assert.equal(sshSettings(parseDoorListen("127.0.0.1:1"), configOf({ ssh: { listen: "off" } }), "f")?.listen.port, 1);
});

test("clients are told the host of the public URL, unless another one is named", () => {
  assert.equal(configOf({ publicUrl: "https://sandboxes.example:8443/" }).publicHost, "sandboxes.example");
  assert.equal(configOf({ publicUrl: "http://[2001:db8::1]:80" }).publicHost, "2001:db8::1");
  const both = { publicUrl: "https://sandboxes.example", ssh: { publicHost: "ssh.sandboxes.example" } };
  assert.equal(configOf(both).publicHost, "ssh.sandboxes.example");
});

test("what is not known or does not parse stops the server, with the place", () => {
  for (const [ssh, what] of [
    [{ port: 22 }, /ssh: Unrecognized key: "port"/],
    [{ publicPort: 0 }, /ssh\.publicPort/],
    [{ publicHost: "-oProxyCommand=x" }, /ssh\.publicHost/],
    [{ publicHost: "a b" }, /ssh\.publicHost/],
    [{ hostKey: "" }, /ssh\.hostKey/],
  ] as const) {
    assert.throws(() => configOf({ ssh }), { code: "config_invalid", exitCode: 2, message: what });
  }
  const config = configOf({ ssh: { listen: "22" } });
  assert.throws(() => sshSettings(undefined, config, "f.json"), {
    code: "config_invalid",
    message: /^f\.json: ssh\.listen: /,
  });
  assert.throws(() => parseDoorListen("22"), { code: "usage" });
});
