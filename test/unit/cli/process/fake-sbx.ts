/**
 * sbx as a real process, with real streams and signals, on a fake runtime: `node fake-sbx.ts exec box -- PROGRAM…`.
 * It runs the program's own main with the commands that tests need; nothing of it is in the product.
 */
import { createHash } from "node:crypto";
import type { Command } from "@oclif/core/command";
import type { Config } from "@oclif/core/config";
import type { PlainCommand } from "../../../../src/cli/plain-command.ts";
import { processContext, type CommandContext } from "../../../../src/cli/context.ts";
import type { CommandModules } from "../../../../src/cli/direct.ts";
import { main } from "../../../../src/cli/main.ts";
import Create from "../../../../src/commands/create.ts";
import Exec from "../../../../src/commands/exec.ts";
import List from "../../../../src/commands/list.ts";
import { FakeRuntime, sandboxInfo, type FakeProgram } from "../../../fake-runtime.ts";

const runtime = new FakeRuntime();
runtime.now = Date.now();
runtime.sandboxes = [sandboxInfo({ name: "box" })];

/** The pattern that `flood` writes: every byte says where it is. */
export function pattern(offset: number, length: number): Buffer {
  const block = Buffer.alloc(length);
  for (let index = 0; index < length; index++) block[index] = (offset + index) % 251;
  return block;
}

/** A connection to a sandbox keeps a process alive; here a timer does. */
const connection = setInterval(() => undefined, 1000);

const PROGRAMS: Record<string, FakeProgram> = {
  flood: async ({ spec, stdout }) => {
    const total = Number(spec.argv[1]);
    for (let offset = 0; offset < total; offset += 65_536) {
      const block = pattern(offset, Math.min(65_536, total - offset));
      if (!stdout.write(block)) await new Promise((resolve) => stdout.once("drain", resolve));
    }
    return 0;
  },
  yes: async ({ stdout, onSignal }) => {
    let ended = 0;
    onSignal((name) => (ended = name === "SIGPIPE" ? 141 : 1));
    while (ended === 0) {
      if (stdout.write("y\n".repeat(1000))) await new Promise((resolve) => setImmediate(resolve));
      else
        await Promise.race([
          new Promise((resolve) => stdout.once("drain", resolve)),
          new Promise((resolve) => setTimeout(resolve, 20)),
        ]);
    }
    return ended;
  },
  sha256: async ({ stdin, stdout }) => {
    const hash = createHash("sha256");
    if (stdin !== null) for await (const chunk of stdin) hash.update(chunk as Buffer);
    stdout.write(hash.digest("hex"));
    return 0;
  },
  // Says "ready", then which signal it got.
  signal: async ({ stdout, onSignal }) =>
    new Promise((resolve) => {
      onSignal((name) => {
        stdout.write(`${name}\n`);
        resolve(3);
      });
      stdout.write("ready\n");
    }),
  deaf: async ({ stdout }) => {
    stdout.write("ready\n");
    return new Promise(() => undefined);
  },
  leave: ({ spec }) => Number(spec.argv[1]),
  crash: () => {
    setImmediate(() => {
      throw new Error("nobody caught this");
    });
    return new Promise(() => undefined);
  },
  bash: async ({ stdout, stdin, spec }) => {
    stdout.write(`shell ${spec.tty?.cols ?? 0}x${spec.tty?.rows ?? 0}\r\n`);
    for await (const chunk of stdin ?? []) if (String(chunk).includes("q")) return 5;
    return 0;
  },
};
for (const [name, program] of Object.entries(PROGRAMS)) runtime.programs.set(name, program);

type Concrete = new (argv: string[], config: Config) => PlainCommand;

function onFakeRuntime(CommandClass: Concrete): () => Promise<{ default: typeof Command }> {
  abstract class Faked extends CommandClass {
    protected override createContext(): CommandContext {
      return Object.assign(processContext(), { openRuntime: async () => runtime });
    }
  }
  return async () => ({ default: Faked as unknown as typeof Command });
}

if (process.argv[1] !== import.meta.filename) {
  clearInterval(connection);
} else {
  const commands: CommandModules = {
    exec: onFakeRuntime(Exec),
    create: onFakeRuntime(Create),
    list: onFakeRuntime(List),
  };
  await main(process.argv.slice(2), { root: new URL("../../../..", import.meta.url).pathname, commands });
}
