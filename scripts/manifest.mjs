/**
 * Writes oclif.manifest.json from the sources, or with `--check` says whether it is fresh (exit status 1 if not).
 *
 * oclif trusts a manifest of the right version without looking: a command that is missing from it does not exist.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Plugin } from "@oclif/core/config";
import { settings } from "@oclif/core/settings";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const MANIFEST = join(ROOT, "oclif.manifest.json");

/** The manifest's text as it should be. */
export async function makeManifest() {
  settings.enableAutoTranspile = false;
  const pjson = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const plugin = new Plugin({
    root: ROOT,
    pjson: { ...pjson, oclif: { ...pjson.oclif, commands: "./src/commands" } },
    isRoot: true,
    ignoreManifest: true,
    errorOnManifestCreate: true,
    respectNoCacheDefault: true,
  });
  await plugin.load();
  const commands = Object.entries(plugin.manifest.commands).sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [, command] of commands) command.relativePath = toBundlePath(command.relativePath);
  return `${JSON.stringify({ commands: Object.fromEntries(commands), version: pjson.version }, null, 2)}\n`;
}

/** src/commands/image/list.ts is dist/commands/image/list.js in the package. */
function toBundlePath([, ...rest]) {
  return ["dist", ...rest.map((part) => part.replace(/\.ts$/, ".js"))];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const fresh = await makeManifest();
  if (process.argv.includes("--check")) {
    let current = "";
    try {
      current = readFileSync(MANIFEST, "utf8");
    } catch (error) {
      if (error.code !== "ENOENT") throw error;
    }
    if (current !== fresh) {
      process.stderr.write("oclif.manifest.json is stale\n  try: node scripts/node.mjs scripts/manifest.mjs\n");
      process.exitCode = 1;
    }
  } else {
    writeFileSync(MANIFEST, fresh);
  }
}
