#!/usr/bin/env node
/** The installed program: hands over to the bundle in dist/, on a Node that is recent enough. */
import { existsSync, readFileSync } from "node:fs";
import module from "node:module";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findBundledNode, isNodeRecentEnough, rerunOnRecentNode } from "./launcher.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const args = process.argv.slice(2);
const recent = isNodeRecentEnough(process.versions.node);

/** The text of oclif's own --version (name/version platform-arch node-version), without loading oclif. */
function versionLine() {
  const { name, version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const node = recent ? process.version : `v${findBundledNode()?.version ?? process.versions.node}`;
  return `${name}/${version} ${process.platform}-${process.arch} node-${node}\n`;
}

/** Compiled code goes to the user's own cache: what lies in a shared directory such as /tmp, others could have made. */
function keepCompiledCode() {
  const { XDG_CACHE_HOME: base } = process.env;
  const caches = base !== undefined && isAbsolute(base) ? base : join(homedir(), ".cache");
  module.enableCompileCache(join(caches, "sbx", "compile-cache"));
}

if (args[0] === "--version" || args[0] === "-V") {
  process.stdout.write(versionLine());
} else if (!recent) {
  await rerunOnRecentNode(fileURLToPath(import.meta.url), args);
} else if (!existsSync(join(root, "dist", "main.js"))) {
  process.stderr.write(`sbx: ${root} has not been built\n  try: npm run build, or ${join(root, "bin", "dev.js")}\n`);
  process.exitCode = 1;
} else {
  keepCompiledCode();
  const { main } = await import(new URL("../dist/main.js", import.meta.url).href);
  await main(args, { root });
}
