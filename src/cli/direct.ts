/**
 * The short way to a command whose name is clear. oclif's own way loads plugins, sorts and indexes all commands and
 * asks the system about shells and themes first; that is half of the time that `sbx exec` takes before it does anything.
 * What is left out here is what only help, completion and unknown commands need: these go oclif's way (main.ts).
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "@oclif/core/command";
import { Config } from "@oclif/core/config";
import type { PJSON } from "@oclif/core/interfaces";

/** What oclif.manifest.json says of the commands; the file is part of the package. */
type ManifestCommands = Record<string, { aliases: string[] }>;

/** The modules of the commands, by id. */
export type CommandModules = Readonly<Record<string, () => Promise<{ default: typeof Command }>>>;

export interface DirectCommand {
  id: string;
  /** Arguments after the command's name. */
  argv: string[];
}

/** Commands that look at all the others, for which oclif's whole configuration must be loaded. */
const NEEDS_ALL_COMMANDS = new Set(["complete", "help"]);

/** Finds the command that the arguments name; `undefined` where oclif has to look closer. */
export function findDirectCommand(argv: readonly string[], root: string): DirectCommand | undefined {
  const end = argv.indexOf("--");
  const own = end === -1 ? argv : argv.slice(0, end);
  if (own.includes("--help") || own.includes("-h")) return undefined;
  const manifest = JSON.parse(readFileSync(join(root, "oclif.manifest.json"), "utf8")) as {
    commands: ManifestCommands;
  };
  for (const length of [2, 1]) {
    if (own.length < length) continue;
    const id = findId(manifest.commands, own.slice(0, length).join(":"));
    if (id !== undefined && !NEEDS_ALL_COMMANDS.has(id)) return { id, argv: argv.slice(length) };
  }
  return undefined;
}

function findId(commands: ManifestCommands, name: string): string | undefined {
  if (Object.hasOwn(commands, name)) return name;
  return Object.entries(commands).find(([, { aliases }]) => aliases.includes(name))?.[0];
}

/** A configuration that knows the program but none of its plugins. */
export class DirectConfig extends Config {
  constructor(root: string, pjson: PJSON) {
    super({ root, pjson });
    this.root = root;
    this.pjson = pjson;
    this.name = pjson.name;
    this.bin = pjson.oclif.bin ?? pjson.name;
    this.version = pjson.version;
    this.topicSeparator = " ";
    this.arch = process.arch as typeof this.arch;
    this.platform = process.platform;
    this.userAgent = `${this.name}/${this.version} ${this.platform}-${this.arch} node-${process.version}`;
  }

  /** sbx has no hooks around commands that exist. */
  override runHook: Config["runHook"] = async () => ({ successes: [], failures: [] });
}

/** Runs the command. */
export async function runDirect(
  { id, argv }: DirectCommand,
  commands: CommandModules,
  root: string,
  pjson: PJSON,
): Promise<void> {
  const module = await commands[id]?.();
  if (module === undefined) throw new Error(`the bundle has no command ${id}, but oclif.manifest.json has`);
  const CommandClass = module.default;
  CommandClass.id = id;
  const run = CommandClass.run.bind(CommandClass as unknown as new (argv: string[], config: Config) => Command);
  await run(argv, new DirectConfig(root, pjson));
}
