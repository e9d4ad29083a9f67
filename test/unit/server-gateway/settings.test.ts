/** What the operator says of the gateway, and what a user is told of it. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { parseDoorListen } from "../../../src/cli/serve/gateway-listen.ts";
import { gatewaySettings } from "../../../src/cli/serve/gateway-settings.ts";
import { urlAccess } from "../../../src/cli/serve/url-access.ts";
import { environmentLines, gatewayNotices, serverJson } from "../../../src/cli/view/serve-view.ts";
import type { RunningServer } from "../../../src/cli/serve/run-server.ts";
import { parseServerConfig, type GatewayConfig } from "../../../src/server/config.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

function configured(gateway: object): GatewayConfig {
  return parseServerConfig(JSON.stringify({ gateway }), "file.json").gateway;
}

test("without a word it is on the loopback, under an authority of its own, and any free port does", () => {
  assert.deepEqual(gatewaySettings(undefined, parseServerConfig("{}", "file.json").gateway, undefined), {
    ...{
      listen: { host: "127.0.0.1", port: 8443 },
      orFreePort: true,
      domain: "localhost",
      tls: "own",
      publicPort: null,
    },
  });
});

test("the option goes before the file, and a port that was asked for is that port", () => {
  const config = configured({ listen: "127.0.0.1:1", domain: "sandboxes.example", certificate: "a.pem", key: "a.key" });
  const settings = gatewaySettings(parseDoorListen("[::1]:9000"), config, "file.json");
  assert.deepEqual(settings?.listen, { host: "::1", port: 9000 });
  assert.equal(settings.orFreePort, false);
  assert.deepEqual(settings.tls, { certificate: "a.pem", key: "a.key" });
  assert.deepEqual(gatewaySettings(undefined, config, "file.json")?.listen, { host: "127.0.0.1", port: 1 });
});

test("off is off, in either place", () => {
  assert.equal(gatewaySettings("off", configured({}), undefined), undefined);
  assert.equal(gatewaySettings(undefined, configured({ listen: "off" }), "file.json"), undefined);
});

test("behind a proxy the URLs have the port of HTTPS, unless another one is named", () => {
  const settings = gatewaySettings(undefined, configured({ behindProxy: true }), "file.json");
  assert.deepEqual([settings?.tls, settings?.publicPort], ["proxy", 443]);
  const other = gatewaySettings(undefined, configured({ behindProxy: true, publicPort: 8443 }), "file.json");
  assert.equal(other?.publicPort, 8443);
});

for (const gateway of [
  { certificate: "a.pem" },
  { key: "a.key" },
  { certificate: "a.pem", key: "a.key", behindProxy: true },
  { domain: "Example.com" },
  { domain: "a..b" },
  { domain: "-a.b" },
  { domain: "" },
  { publicPort: 0 },
  { tls: "off" },
]) {
  test(`${JSON.stringify(gateway)} stops the server`, () => {
    assert.throws(() => configured(gateway), { code: "config_invalid", message: /^file\.json: gateway/ });
  });
}

test("an address that is none stops the server, and says where it stands", () => {
  assert.throws(() => gatewaySettings(undefined, configured({ listen: "here" }), "file.json"), {
    ...{ code: "config_invalid", message: /^file\.json: gateway\.listen: "here" is not an address and a port/ },
  });
});

test("a resolver that does not know names below localhost is made up for, and said", (t) => {
  const directory = temporaryDirectory(t);
  const nameService = (text: string): string => {
    const file = path.join(directory, "nsswitch.conf");
    writeFileSync(file, text);
    return file;
  };
  const gateway = { domain: "localhost", port: 8443, certificatePath: "/data/it's here/gateway-localhost.pem" };
  assert.equal(urlAccess(gateway, nameService("hosts: files myhostname dns\n")).preloadPath, null);
  assert.equal(urlAccess(gateway, nameService("hosts: files resolve [!UNAVAIL=return] dns\n")).preloadPath, null);
  assert.equal(urlAccess({ ...gateway, domain: "a.example" }, nameService("hosts: files dns\n")).preloadPath, null);
  assert.match(urlAccess(gateway, nameService("hosts: files dns\n")).preloadPath ?? "", /\/bin\/localhost-names\.cjs$/);
  const access = { certificatePath: gateway.certificatePath, preloadPath: "/opt/my sbx/bin/localhost-names.cjs" };
  const server = {
    url: "http://127.0.0.1:8787",
    token: "ddo_x",
    gateway,
    access,
    listen: { host: "127.0.0.1", port: 8787 },
  } as RunningServer;
  assert.deepEqual(environmentLines(server), [
    "export DENO_DEPLOY_ENDPOINT=http://127.0.0.1:8787",
    "export DENO_SANDBOX_ENDPOINT=http://127.0.0.1:8787",
    "export DENO_DEPLOY_TOKEN=ddo_x",
    "export NODE_EXTRA_CA_CERTS='/data/it'\\''s here/gateway-localhost.pem'",
    "export DENO_CERT='/data/it'\\''s here/gateway-localhost.pem'",
    `export NODE_OPTIONS="\${NODE_OPTIONS:+$NODE_OPTIONS }"'--require="/opt/my sbx/bin/localhost-names.cjs"'`,
  ]);
  const [urls, names] = gatewayNotices(server);
  assert.match(urls ?? "", /^servers of sandboxes get URLs such as https:\/\/NAME\.localhost:8443; curl: --cacert /);
  assert.match(names ?? "", /libnss-myhostname/);
  assert.equal(gatewayNotices(server).length, 2);
  const open = gatewayNotices({ ...server, listen: { host: "0.0.0.0", port: 8787 } });
  assert.match(open.at(-1) ?? "", /^they lead to whoever opens them/);
  assert.deepEqual(serverJson(server)["gateway"], {
    ...{ domain: "localhost", port: 8443, certificate: gateway.certificatePath },
  });
});
