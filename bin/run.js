#!/usr/bin/env -S node --
/**
 * The installed program: hands over to the bundle in dist/, on a Node that is recent enough.
 *
 * The `--` above is a safeguard. Without it Node takes an `--env-file` anywhere on the command line for its own, and the
 * file, which may come with unreviewed code, could set NODE_OPTIONS and so run code on the host.
 *
 * Node's modules come through `require`: an `import` of them would cost several milliseconds at every start.
 */
import { createRequire } from "node:module";

/** As MINIMUM_NODE_MAJOR of launcher.js, which only an old Node has to load. */
const recent = Number.parseInt(process.versions.node, 10) >= 24;

const require = createRequire(import.meta.url);
const { existsSync, readFileSync } = require("node:fs");
const { isAbsolute, join } = require("node:path");
const { fileURLToPath } = require("node:url");

const root = fileURLToPath(new URL("..", import.meta.url));
const args = process.argv.slice(2);

/** The text of oclif's own --version (name/version platform-arch node-version), without loading oclif. */
async function versionLine() {
  const { name, version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const node = recent ? process.version : `v${await bundledNodeVersion()}`;
  return `${name}/${version} ${process.platform}-${process.arch} node-${node}\n`;
}

async function bundledNodeVersion() {
  const { findBundledNode } = await import("./launcher.js");
  const found = findBundledNode();
  return found === undefined ? process.versions.node : found.version;
}

/** Compiled code goes to the user's own cache: what lies in a shared directory such as /tmp, others could have made. */
function keepCompiledCode() {
  const { XDG_CACHE_HOME: base } = process.env;
  const caches = base !== undefined && isAbsolute(base) ? base : join(require("node:os").homedir(), ".cache");
  require("node:module").enableCompileCache(join(caches, "sbx", "compile-cache"));
}

/** The short way of what every ssh to a sandbox waits for (src/runtime/local/ssh/quick-proxy.ts). */
async function proxyQuickly() {
  keepCompiledCode();
  const { proxyQuickly: proxy } = await import(new URL("../dist/ssh-proxy.js", import.meta.url).href);
  return await proxy(args[1]);
}

if (args[0] === "--version" || args[0] === "-V") {
  process.stdout.write(await versionLine());
} else if (!recent) {
  const { rerunOnRecentNode } = await import("./launcher.js");
  await rerunOnRecentNode(fileURLToPath(import.meta.url), args);
} else if (!existsSync(join(root, "dist", "main.js"))) {
  process.stderr.write(`sbx: ${root} has not been built\n  try: npm run build, or ${join(root, "bin", "dev.js")}\n`);
  process.exitCode = 1;
} else if (args[0] === "ssh-proxy" && args.length === 2 && (await proxyQuickly())) {
  process.exit();
} else {
  keepCompiledCode();
  const { main } = await import(new URL("../dist/main.js", import.meta.url).href);
  await main(args, { root });
}
