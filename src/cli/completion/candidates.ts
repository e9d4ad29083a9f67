/**
 * What could come next on a command line of sbx. Pure: words and the table of commands go in, words that fit and kinds
 * of names to look up come out.
 */
import { SETTING_NAMES } from "../settings/keys.ts";
import { ACCELERATORS } from "../../runtime/defaults.ts";

export interface CompletableFlag {
  type: "boolean" | "option";
  char?: string | undefined;
  summary?: string | undefined;
  hidden?: boolean | undefined;
  options?: readonly string[] | undefined;
}

export interface CompletableCommand {
  id: string;
  summary?: string | undefined;
  hidden?: boolean | undefined;
  aliases: readonly string[];
  flags: Readonly<Record<string, CompletableFlag>>;
}

export interface Candidate {
  value: string;
  description?: string | undefined;
}

/** Names that only the runtime knows, or the user's file of contexts. */
export type LiveKind =
  | "contexts"
  | "running-sandboxes"
  | "all-sandboxes"
  | "images"
  | "secrets"
  | "volumes"
  | "removed-volumes"
  | "snapshots"
  | "checkpoints"
  | "roots"
  | "bases"
  | "disk-sources"
  | "apps";

export interface Completion {
  candidates: Candidate[];
  live?: LiveKind;
  /** Put before and after each live name. */
  around?: { before: string; after: string };
  /** Names of files fit as well. */
  files: boolean;
  /** The word goes on after what was completed. */
  noSpace: boolean;
}

const NOTHING: Completion = { candidates: [], files: false, noSpace: false };

type OperandKind =
  | "running"
  | "any"
  | "copy"
  | "image"
  | "volume"
  | "removed-volume"
  | "snapshot"
  | "checkpoint"
  | "file"
  | "setting"
  | "value"
  | "shell"
  | "secret"
  | "preset"
  | "app"
  | "context"
  | "none";

/** What an operand is, by command; the last kind goes for all that follow. */
const OPERANDS: Readonly<Record<string, readonly OperandKind[]>> = {
  exec: ["running", "none"],
  ssh: ["running", "none"],
  kill: ["running"],
  extend: ["running", "none"],
  code: ["running", "none"],
  expose: ["running", "none"],
  forward: ["running", "none"],
  sync: ["running", "file", "none"],
  deploy: ["running", "app", "none"],
  "app:inspect": ["app", "none"],
  "app:update": ["app", "none"],
  "app:env": ["app", "none"],
  "app:revisions": ["app", "none"],
  "app:logs": ["app", "none"],
  "app:promote": ["app", "none"],
  "app:rollback": ["app", "none"],
  "app:open": ["app", "none"],
  "app:remove": ["app"],
  fork: ["running", "none"],
  "checkpoint:create": ["running", "none"],
  "checkpoint:inspect": ["checkpoint", "none"],
  "checkpoint:remove": ["checkpoint"],
  pause: ["running"],
  resume: ["running"],
  inspect: ["any", "none"],
  logs: ["any", "none"],
  events: ["any", "none"],
  top: ["running", "none"],
  copy: ["copy"],
  "image:inspect": ["image", "none"],
  "image:remove": ["image"],
  "config:get": ["setting", "none"],
  "config:unset": ["setting", "none"],
  "config:set": ["setting", "value", "none"],
  completion: ["shell", "none"],
  "net:show": ["running", "none"],
  "net:check": ["running", "none"],
  "net:allow": ["running", "none"],
  "net:deny": ["running", "none"],
  "net:log": ["any", "none"],
  "net:presets": ["preset", "none"],
  "volume:inspect": ["volume", "none"],
  "volume:remove": ["volume"],
  "volume:restore": ["removed-volume", "none"],
  "volume:resize": ["volume", "none"],
  "volume:snapshot": ["volume", "none"],
  "volume:export": ["volume", "file", "none"],
  "volume:import": ["file", "none"],
  "volume:attach": ["volume", "running", "none"],
  "volume:detach": ["volume", "running", "none"],
  "snapshot:inspect": ["snapshot", "none"],
  "snapshot:remove": ["snapshot"],
  "snapshot:export": ["snapshot", "file", "none"],
  "snapshot:import": ["file", "none"],
  login: ["context", "none"],
  logout: ["context", "none"],
  "context:use": ["context", "none"],
  "context:show": ["context", "none"],
  "context:remove": ["context"],
  "secret:set": ["secret", "none"],
  "secret:rotate": ["secret", "none"],
  "secret:remove": ["secret"],
};

/** Options whose values are paths on this machine. */
const FILE_OPTIONS = new Set(["copy", "mount", "env-file", "net-file", "hook", "ca-file", "from-file"]);

/** Options whose values are names; of all commands, or of one. */
const LIVE_OPTIONS: Readonly<Record<string, LiveKind>> = {
  context: "contexts",
  image: "images",
  secret: "secrets",
  root: "roots",
  checkpoint: "checkpoints",
  "volume:create from": "bases",
  "snapshot:create from": "disk-sources",
};

const NET_MODES = ["none", "balanced", "open"] as const;
const SHELLS = ["bash", "zsh", "fish"] as const;

/**
 * Completes the last of `words` (which do not include `sbx`).
 *
 * @param commands all commands, hidden ones too
 */
export function complete(words: readonly string[], commands: readonly CompletableCommand[]): Completion {
  const partial = words.at(-1) ?? "";
  const before = words.slice(0, -1);
  const found = findCommand(before, commands);
  if (found === undefined) return { ...NOTHING, candidates: commandWords(before, partial, commands) };
  const { command, length } = found;
  if (command.id === "help") return { ...NOTHING, candidates: commandWords(before.slice(length), partial, commands) };
  const rest = before.slice(length);
  if (rest.includes("--")) return NOTHING;
  const waiting = optionAt(rest.at(-1) ?? "", command);
  if (waiting?.flag.type === "option") return optionValues(command.id, waiting, partial, "");
  const equals = /^--([^=]+)=/.exec(partial);
  if (equals !== null) {
    const flag = command.flags[equals[1] ?? ""];
    if (flag === undefined) return NOTHING;
    return optionValues(command.id, { name: equals[1] ?? "", flag }, partial, equals[0]);
  }
  if (partial.startsWith("-")) return { ...NOTHING, candidates: options(command, partial) };
  return operandValues(command.id, countOperands(rest, command), rest, partial);
}

function findCommand(
  words: readonly string[],
  commands: readonly CompletableCommand[],
): { command: CompletableCommand; length: number } | undefined {
  for (let length = Math.min(words.length, 3); length > 0; length--) {
    const id = words.slice(0, length).join(":");
    const command =
      commands.find((candidate) => candidate.id === id) ?? commands.find(({ aliases }) => aliases.includes(id));
    if (command !== undefined) return { command, length };
  }
  return undefined;
}

/** Next words of commands; aliases only when nothing else fits. */
function commandWords(
  before: readonly string[],
  partial: string,
  commands: readonly CompletableCommand[],
): Candidate[] {
  const depth = before.length;
  const visible = commands.filter(({ hidden }) => hidden !== true);
  const aliases = new Set(visible.flatMap((command) => command.aliases));
  const pick = (ids: readonly (readonly [string, string | undefined])[]): Candidate[] => {
    const fitting = new Map<string, string | undefined>();
    for (const [id, summary] of ids) {
      const words = id.split(":");
      const word = words[depth];
      if (word === undefined || !word.startsWith(partial)) continue;
      if (words.slice(0, depth).join(":") !== before.join(":")) continue;
      if (!fitting.has(word)) fitting.set(word, words.length === depth + 1 ? summary : undefined);
    }
    return [...fitting].sort(([a], [b]) => a.localeCompare(b)).map(([value, description]) => ({ value, description }));
  };
  const primary = pick(visible.filter(({ id }) => !aliases.has(id)).map(({ id, summary }) => [id, summary] as const));
  return primary.length > 0 ? primary : pick([...aliases].map((alias) => [alias, undefined] as const));
}

function options(command: CompletableCommand, partial: string): Candidate[] {
  return Object.entries(command.flags)
    .filter(([name, flag]) => flag.hidden !== true && `--${name}`.startsWith(partial))
    .map(([name, flag]) => ({ value: `--${name}`, description: flag.summary }));
}

/** The option that a word is, if its value would be the next word. */
function optionAt(word: string, command: CompletableCommand): { name: string; flag: CompletableFlag } | undefined {
  const found = word.startsWith("--")
    ? Object.entries(command.flags).find(([name]) => word === `--${name}`)
    : /^-[A-Za-z]+$/.test(word)
      ? Object.entries(command.flags).find(([, flag]) => flag.char === word.at(-1))
      : undefined;
  return found === undefined ? undefined : { name: found[0], flag: found[1] };
}

function optionValues(
  command: string,
  { name, flag }: { name: string; flag: CompletableFlag },
  partial: string,
  before: string,
): Completion {
  const fitting = (flag.options ?? [])
    .map((value) => ({ value: `${before}${value}` }))
    .filter(({ value }) => value.startsWith(partial));
  if (fitting.length > 0) return { ...NOTHING, candidates: fitting };
  const live = LIVE_OPTIONS[`${command} ${name}`] ?? LIVE_OPTIONS[name];
  if (live !== undefined) return { ...NOTHING, live, around: { before, after: "" } };
  if (name === "volume") {
    if (partial.slice(before.length).includes(":")) return NOTHING;
    return { ...NOTHING, live: "volumes", around: { before, after: ":" }, noSpace: true };
  }
  return { ...NOTHING, files: FILE_OPTIONS.has(name) && before === "" };
}

function countOperands(words: readonly string[], command: CompletableCommand): number {
  let count = 0;
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? "";
    if (!word.startsWith("-")) count++;
    else if (optionAt(word, command)?.flag.type === "option") index++;
  }
  return count;
}

function operandValues(id: string, position: number, before: readonly string[], partial: string): Completion {
  const kinds = OPERANDS[id] ?? ["none"];
  const fit = (values: readonly string[]): Completion => ({
    ...NOTHING,
    candidates: values.filter((value) => value.startsWith(partial)).map((value) => ({ value })),
  });
  const kind = kinds[Math.min(position, kinds.length - 1)] ?? "none";
  switch (kind) {
    case "running":
      return { ...NOTHING, live: "running-sandboxes" };
    case "any":
      return { ...NOTHING, live: "all-sandboxes" };
    case "copy":
      if (partial.includes(":")) return NOTHING;
      return { ...NOTHING, live: "running-sandboxes", around: { before: "", after: ":" }, files: true, noSpace: true };
    case "image":
      return { ...NOTHING, live: "images" };
    case "volume":
      return { ...NOTHING, live: "volumes" };
    case "removed-volume":
      return { ...NOTHING, live: "removed-volumes" };
    case "snapshot":
      return { ...NOTHING, live: "snapshots" };
    case "checkpoint":
      return { ...NOTHING, live: "checkpoints" };
    case "file":
      return { ...NOTHING, files: true };
    case "setting":
      return fit(SETTING_NAMES);
    case "value":
      if (before.at(-1) === "image") return { ...NOTHING, live: "images" };
      return fit(before.at(-1) === "accel" ? ACCELERATORS : []);
    case "shell":
      return fit(SHELLS);
    case "secret":
      return { ...NOTHING, live: "secrets" };
    case "context":
      return { ...NOTHING, live: "contexts" };
    case "app":
      return { ...NOTHING, live: "apps" };
    case "preset":
      return fit(NET_MODES);
    case "none":
      return NOTHING;
  }
}
