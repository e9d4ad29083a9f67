/** The SDK's own client on `sbx mcp` over a fake runtime (mcp-process.ts), as a host of the protocol would start it. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Client, type CallToolRequestOptions } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import type { SandboxInfo } from "../../../src/runtime/types.ts";

const PROGRAM = path.join(import.meta.dirname, "mcp-process.ts");

export interface Report {
  status: number;
  stderr: string;
  calls: { method: string; args: unknown[] }[];
  sandboxes: SandboxInfo[];
  snapshots: { slug: string }[];
  disposed: number;
}

export interface Answer {
  isError: boolean;
  result: Record<string, unknown>;
  text: string;
}

export interface McpSession extends AsyncDisposable {
  client: Client;
  pid: number;
  call: (name: string, args?: Record<string, unknown>, options?: CallToolRequestOptions) => Promise<Answer>;
  /** Makes a sandbox and returns its id. */
  create: (args?: Record<string, unknown>) => Promise<string>;
  /** Hangs up and waits for the end. */
  end: () => Promise<Report>;
}

export async function openMcp(options: string[] = [], mode: "legacy" | "auto" = "legacy"): Promise<McpSession> {
  const directory = mkdtempSync(path.join(tmpdir(), "sbx-unit-mcp-"));
  const report = path.join(directory, "report.json");
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [PROGRAM, ...options],
    env: { PATH: process.env.PATH ?? "", FAKE_REPORT: report },
    stderr: "inherit",
  });
  const client = new Client({ name: "test", version: "1" }, { versionNegotiation: { mode } });
  await client.connect(transport);
  const call: McpSession["call"] = async (name, args = {}, more = {}) => {
    const { content, structuredContent, isError } = await client.callTool({ name, arguments: args }, more);
    const [first] = content;
    return {
      isError: isError === true,
      result: structuredContent as Record<string, unknown>,
      text: first?.type === "text" ? first.text : "",
    };
  };
  return {
    client,
    pid: transport.pid ?? 0,
    call,
    create: async (args) => String((await call("create_sandbox", args)).result.sandbox),
    end: async () => {
      await client.close();
      return JSON.parse(readFileSync(report, "utf8")) as Report;
    },
    async [Symbol.asyncDispose]() {
      await client.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
