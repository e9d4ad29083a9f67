/** The program: loads what the arguments need of oclif, runs the command, and ends with its status and all output out. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { Plugin } from "@oclif/core/config";
import type { PJSON } from "@oclif/core/interfaces";
import { run } from "@oclif/core/run";
import { settings } from "@oclif/core/settings";
import { SbxError } from "../runtime/errors.ts";
import { commandNames } from "./command-names.ts";
import { reportFailure } from "./errors/funnel.ts";
import { unknownCommand } from "./errors/unknown-command.ts";
import { installGuards } from "./process-guards.ts";

export interface MainOptions {
  /** The package's directory. */
  root: string;
  /** Run the sources instead of the bundle, and do not trust the manifest. */
  development?: boolean;
}

/** Runs sbx with the arguments after the program's name. Ends the process. */
export async function main(argv: string[], options: MainOptions): Promise<void> {
  const report = async (error: unknown): Promise<number> =>
    reportFailure(error, {
      names: { program: "sbx", options: [] },
      json: isJson(argv),
      phase: "plain",
      interruptedBy: undefined,
      env: process.env,
      stderr: process.stderr,
    });
  installGuards(report);
  // Sources run as they are; oclif must not look for a compiler.
  settings.enableAutoTranspile = false;
  try {
    await runCommand(argv, options);
  } catch (error) {
    process.exitCode = await report(error);
  }
  await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
  process.exit();
}

async function runCommand(argv: string[], { root, development = false }: MainOptions): Promise<void> {
  const pjson = readPackage(root, development);
  const rootPlugin = new Plugin({ root, pjson, isRoot: true, ignoreManifest: development });
  await rootPlugin.load();
  const plugins = new Map([[rootPlugin.name, rootPlugin]]);
  if (!namesOwnCommand(argv, rootPlugin)) {
    // Only help and what lists all commands need it; it takes time to find and read.
    const help = new Plugin({ name: "@oclif/plugin-help", root, type: "core" });
    await help.load();
    plugins.set(help.name, help);
  }
  try {
    await run(argv, { root, pjson, plugins, userPlugins: false });
  } catch (error) {
    throw missingHelpTopic(error, [...plugins.values()]) ?? error;
  }
}

/** Where the commands are: the bundle's, or the sources'. */
function readPackage(root: string, development: boolean): PJSON {
  const pjson = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as PJSON;
  if (!development) return pjson;
  const oclif = {
    ...pjson.oclif,
    commands: "./src/commands",
    hooks: { command_not_found: "./src/cli/hooks/command-not-found.ts" },
  };
  return { ...pjson, oclif };
}

function namesOwnCommand(argv: readonly string[], plugin: Plugin): boolean {
  const [name = ""] = argv;
  const known = plugin.commands.some(({ id, aliases }) => id.split(":")[0] === name || aliases.includes(name));
  const own = argv.includes("--") ? argv.slice(0, argv.indexOf("--")) : argv;
  return known && name !== "complete" && !own.includes("--help") && !own.includes("-h");
}

/** `sbx help nonsense`: the help class only says that it did not find it. */
function missingHelpTopic(error: unknown, plugins: readonly Plugin[]): SbxError | undefined {
  if (!(error instanceof Error) || error instanceof SbxError) return undefined;
  const subject = /^Command (.+) not found\.$/.exec(error.message)?.[1];
  if (subject === undefined) return undefined;
  return unknownCommand(subject.split(":"), commandNames({ commands: plugins.flatMap(({ commands }) => commands) }));
}

function isJson(argv: readonly string[]): boolean {
  const end = argv.indexOf("--");
  return (end === -1 ? argv : argv.slice(0, end)).includes("--json");
}

/** Resolves once everything written so far has been handed to the system, or can no longer be. */
async function flushed(stream: Writable): Promise<void> {
  if (stream.destroyed || stream.errored !== null) return;
  await new Promise<void>((resolve) => {
    stream.once("error", () => resolve());
    stream.write("", () => resolve());
  });
}
