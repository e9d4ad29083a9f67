/**
 * Every command and contexts: it works on a server, or is refused there, or has nothing to do with where sandboxes are. A
 * new command fails here until somebody has decided; docs/contexts.md has what is refused.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import type { PlainCommand } from "../../../src/cli/plain-command.ts";
import { SbxCommand } from "../../../src/cli/base-command.ts";

const ROOT = path.join(import.meta.dirname, "../../..");
const COMMANDS = path.join(ROOT, "src/commands");

/** `elsewhere`: on the context that is in use. `refused`: with an error, where that is a server. `none`: has no context. */
type Decision = "elsewhere" | "refused" | "none";

const DECISIONS: Readonly<Record<Decision, readonly string[]>> = {
  elsewhere: [
    ...[
      "app create",
      "app env",
      "app inspect",
      "app list",
      "app logs",
      "app open",
      "app promote",
      "app remove",
      "app revisions",
    ],
    ...["app rollback", "app update"],
    ...["deploy", "layer create", "layer env", "layer list", "layer remove"],
    ...["create", "run", "exec", "list", "inspect", "kill", "extend", "pause", "resume", "fork", "copy", "prune"],
    ...["logs", "events", "top", "usage", "doctor", "mcp", "ssh", "ssh-config", "ssh-proxy", "complete"],
    ...["checkpoint create", "checkpoint inspect", "checkpoint list", "checkpoint remove"],
    ...["expose", "forward", "sync", "code", "image inspect", "image list"],
    ...["net allow", "net check", "net deny", "net log", "net presets", "net show"],
    ...["secret list", "secret remove", "secret rotate", "secret set"],
    ...[
      "snapshot create",
      "snapshot export",
      "snapshot import",
      "snapshot inspect",
      "snapshot list",
      "snapshot remove",
      "snapshot tree",
    ],
    ...[
      "volume attach",
      "volume create",
      "volume detach",
      "volume export",
      "volume import",
      "volume inspect",
      "volume list",
    ],
    ...["volume remove", "volume resize", "volume restore", "volume snapshot"],
  ],
  refused: ["image build", "image remove", "setup"],
  none: [
    ...["completion", "config get", "config list", "config set", "config unset", "login", "logout", "serve", "version"],
    ...["context list", "context remove", "context show", "context use", "token create", "token list", "token revoke"],
  ],
};

function commandFiles(): string[] {
  return readdirSync(COMMANDS, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
}

function nameOf(file: string): string {
  return file.replace(/\.ts$/, "").split(path.sep).join(" ");
}

test("every command has been decided on, once", () => {
  assert.deepEqual(Object.values(DECISIONS).flat().sort(), commandFiles().map(nameOf).sort());
});

test("a command has --context if it calls a runtime, and only then", async () => {
  for (const file of commandFiles()) {
    const { default: command } = (await import(path.join(COMMANDS, file))) as { default: typeof PlainCommand };
    const hasContext = command.prototype instanceof SbxCommand;
    assert.equal(hasContext, !DECISIONS.none.includes(nameOf(file)), file);
    assert.equal("context" in command.baseFlags, hasContext, file);
    const calls = readFileSync(path.join(COMMANDS, file), "utf8").includes("openRuntime(");
    assert.ok(hasContext || !calls, `${file} opens a runtime and has no --context`);
  }
});

test("the page about contexts names every command that a server refuses", () => {
  const page = readFileSync(path.join(ROOT, "docs/contexts.md"), "utf8");
  for (const name of DECISIONS.refused) assert.ok(page.includes(`\`sbx ${name}\``), name);
});
