/** Which streams the params of an agent call name. */
import type { AgentCalls, AgentExecParams, AgentSftpParams } from "../protocol/agent-calls.ts";

/** Ids of the streams that come to exist by this call, in the order of the params. */
export function streamsOfCall<M extends keyof AgentCalls>(method: M, params: AgentCalls[M]["params"]): number[] {
  if (method === "exec" || method === "sftp") return streamsOfExec(params as AgentExecParams | AgentSftpParams);
  const { stream, read, write } = params as { stream?: unknown; read?: unknown; write?: unknown };
  // `fs.open` has flags called `read` and `write`: only numbers are ids.
  return [stream, read, write].filter((id) => typeof id === "number");
}

function streamsOfExec(params: AgentExecParams | AgentSftpParams): number[] {
  const ids = [params.stdin, params.stdout, params.stderr];
  const extra = "extra" in params ? (params.extra ?? []) : [];
  for (const { read, write } of extra) ids.push(read ?? null, write ?? null);
  return ids.filter((id) => id !== null);
}
