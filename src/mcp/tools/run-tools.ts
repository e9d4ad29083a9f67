/** Tools that run something in a sandbox. */
import { z } from "zod";
import type { NetDenial } from "../../runtime/network.ts";
import type { ExecSpec } from "../../runtime/types.ts";
import type { FleetMember } from "../fleet.ts";
import { runCommand } from "../run-command.ts";
import { tool, type ToolCall } from "../tool.ts";
import { argv, cwd, env, sandbox, timeout } from "./inputs.ts";

/** The kernel takes 128 KiB for one argument (MAX_ARG_STRLEN), in bytes; a character has up to three of them here. */
const MAX_CODE_CHARS = 40_000;
const MAX_STDIN_CHARS = 1_000_000;
const MAX_DENIALS = 10;
const DENIED_HINT = "the user has not allowed these hosts, and nothing in the sandbox can change that; ask the user";

/** How each language is run, so that imports begin at the working directory. */
const INTERPRETERS = {
  python: ["python3", "-c"],
  javascript: ["node", "-e"],
  typescript: ["deno", "eval", "--ext=ts"],
  bash: ["bash", "-c"],
} as const satisfies Record<string, readonly [string, ...string[]]>;

type Language = keyof typeof INTERPRETERS;

interface Place {
  cwd?: string | undefined;
  env?: Record<string, string> | undefined;
}

const OUTCOME =
  "Tells exit_code, stdout and stderr; of long output the beginning and the end (write to a file and read parts of it " +
  "where the middle matters).";

export const RUN_TOOLS = [
  tool({
    name: "run_code",
    title: "Run code",
    description: `Runs a program that is given as text in a sandbox. Print what you want to know. ${OUTCOME}`,
    input: z.strictObject({
      sandbox: sandbox(),
      language: z.enum(Object.keys(INTERPRETERS) as [Language, ...Language[]]).describe("What it is written in."),
      code: z
        .string()
        .min(1)
        .max(MAX_CODE_CHARS)
        .regex(/^[^\0]*$/)
        .describe("The program. Use write_file and run_command for a longer one."),
      ...{ cwd: cwd(), env: env(), timeout_seconds: timeout() },
    }),
    run: async (input, call) => {
      const words = INTERPRETERS[input.language];
      return run({ ...input, argv: [...words, input.code] }, call);
    },
  }),
  tool({
    name: "run_command",
    title: "Run a command",
    description: `Runs a command in a sandbox and waits for it. ${OUTCOME}`,
    input: z.strictObject({
      sandbox: sandbox(),
      argv: argv(),
      stdin: z.string().max(MAX_STDIN_CHARS).describe("What it reads from its standard input.").optional(),
      ...{ cwd: cwd(), env: env(), timeout_seconds: timeout() },
    }),
    run: async (input, call) => run(input, call),
  }),
  tool({
    name: "start_process",
    title: "Start a process in the background",
    description:
      "Starts a process that goes on, such as a server, and tells its pid. Its output is not kept for you: use bash and " +
      "> FILE to keep it. It ends with the sandbox, or by kill.",
    input: z.strictObject({ sandbox: sandbox(), argv: argv(), cwd: cwd(), env: env() }),
    run: async (input, { fleet, signal }) => {
      const { id, sandbox: machine } = fleet.find(input.sandbox);
      const pid = await machine.start(execSpec(input.argv, input), { signal });
      return { sandbox: id, pid };
    },
  }),
];

async function run(
  input: Place & {
    sandbox: string;
    argv: readonly string[];
    stdin?: string | undefined;
    timeout_seconds?: number | undefined;
  },
  call: ToolCall,
): Promise<Record<string, unknown>> {
  const { fleet, policy, signal, report } = call;
  const member = fleet.find(input.sandbox);
  const asked = input.timeout_seconds === undefined ? Number.POSITIVE_INFINITY : input.timeout_seconds * 1000;
  const limitMs = Math.min(policy.commandLimitMs, asked);
  const spec = execSpec(input.argv, input);
  const before = await deniedHosts(member, call);
  const result = await runCommand(member.sandbox, { spec, stdin: input.stdin, limitMs, signal, onProgress: report });
  const denied = await deniedHosts(member, call);
  const fresh = [...denied].filter(([host, count]) => count > (before.get(host) ?? 0)).map(([host]) => host);
  return {
    ...result,
    ...(result.timed_out ? { limit_seconds: limitMs / 1000 } : {}),
    ...(fresh.length === 0 ? {} : { denied_hosts: fresh.slice(-MAX_DENIALS), denied_hint: DENIED_HINT }),
  };
}

/** What the sandbox was refused so far, with how often: the reason of many a failure that a program does not tell. */
async function deniedHosts({ id }: FleetMember, { runtime, signal }: ToolCall): Promise<Map<string, number>> {
  // The command has its result: whatever goes wrong here must not change that.
  const denied = await runtime.network.denied(id, { signal }).catch((): readonly NetDenial[] => []);
  return new Map(denied.map(({ host, port, count }) => [port === null ? host : `${host}:${port}`, count]));
}

function execSpec([program = "", ...words]: readonly string[], place: Place): ExecSpec {
  return {
    argv: [program, ...words],
    ...(place.cwd === undefined ? {} : { cwd: place.cwd }),
    ...(place.env === undefined ? {} : { env: place.env }),
  };
}
