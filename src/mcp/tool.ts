/** What tools have in common: how one is declared, what it gets, and how its result or failure is told. */
import type { CallToolResult, McpServer, ServerContext } from "@modelcontextprotocol/server";
import type { z } from "zod";
import type { Runtime } from "../runtime/runtime.ts";
import type { Fleet, FleetCall } from "./fleet.ts";
import type { McpPolicy } from "./policy.ts";
import { toolErrorRecord } from "./tool-error.ts";

export interface ToolHost {
  runtime: Runtime;
  policy: McpPolicy;
  fleet: Fleet;
  /** Fires when the server ends. */
  ending: AbortSignal;
}

export interface ToolCall extends FleetCall, ToolHost {
  /** Tells the client how it goes, if it asked to be told. */
  report: (message: string) => void;
  /** Settles when what was told so far is on its way. */
  readonly told: Promise<void>;
}

export interface Tool<Schema extends z.ZodObject> {
  name: string;
  title: string;
  description: string;
  input: Schema;
  /** Whether it changes nothing. */
  readOnly?: boolean;
  /** Whether what it changes cannot be had back. */
  destructive?: boolean;
  run: (input: z.output<Schema>, call: ToolCall) => Promise<Record<string, unknown>>;
}

/** Lets its parts agree on one schema. */
export function tool<Schema extends z.ZodObject>(
  declaration: Tool<Schema>,
): (server: McpServer, host: ToolHost) => void {
  const { name, title, description, input, run, readOnly = false, destructive = false } = declaration;
  return (server, host) => {
    const annotations = {
      readOnlyHint: readOnly,
      destructiveHint: destructive,
      // Everything stays within sandboxes of this server's own.
      openWorldHint: false,
    };
    const inputSchema: z.ZodObject = input;
    server.registerTool(name, { title, description, inputSchema, annotations }, async (args, context) => {
      const call = callOf(host, context);
      const result = await answer(async () => run(args as z.output<Schema>, call));
      // A client forgets whom to tell as soon as it has its answer.
      await call.told;
      return result;
    });
  };
}

async function answer(work: () => Promise<Record<string, unknown>>): Promise<CallToolResult> {
  try {
    const result = await work();
    return { content: [{ type: "text", text: JSON.stringify(result) }], structuredContent: result };
  } catch (error) {
    const record = { error: toolErrorRecord(error) };
    return { content: [{ type: "text", text: JSON.stringify(record) }], structuredContent: record, isError: true };
  }
}

function callOf(host: ToolHost, { mcpReq }: ServerContext): ToolCall {
  const token = mcpReq._meta?.progressToken;
  let progress = 0;
  let told = Promise.resolve();
  const report = (message: string): void => {
    if (token === undefined || mcpReq.signal.aborted) return;
    const params = { progressToken: token, progress: ++progress, message };
    // Who does not listen any more misses nothing.
    const telling = mcpReq.notify({ method: "notifications/progress", params }).catch(() => undefined);
    told = told.then(async () => telling);
  };
  return {
    ...host,
    signal: AbortSignal.any([mcpReq.signal, host.ending]),
    report,
    get told() {
      return told;
    },
    onProgress: ({ message }) => report(message),
  };
}
