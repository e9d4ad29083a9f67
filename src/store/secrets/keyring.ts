/**
 * The system's keyring, by way of libsecret's program `secret-tool`. The secret goes in by its standard input and comes
 * out by its standard output: never through arguments, which every process can read. What it prints is trusted no
 * further than its length.
 */
import { spawn } from "node:child_process";

/** A keyring may ask its user to unlock it, which takes a while; but it may also never answer, `ms`. */
const ANSWER_TIMEOUT_MS = 60_000;
/** Nobody waits that long for a keyring that has not been used yet, `ms`. */
const PROBE_TIMEOUT_MS = 10_000;
const MAX_OUTPUT_BYTES = 64 * 1024;

/** There is no keyring, or it does not answer; the message says which. */
export class KeyringError extends Error {
  override readonly name = "KeyringError";
}

export interface Keyring {
  /** For a person, such as `the system keyring (secret-tool)`. */
  readonly description: string;
  /** @returns `null` when it has nothing under this name. @throws KeyringError */
  lookup(id: string): Promise<string | null>;
  /** Keeps the text and reads it back. @throws KeyringError */
  store(id: string, text: string): Promise<void>;
  /** @throws KeyringError */
  remove(id: string): Promise<void>;
}

interface KeyringOptions {
  environment?: NodeJS.ProcessEnv;
  answerTimeoutMs?: number;
  probeTimeoutMs?: number;
}

export function systemKeyring(options: KeyringOptions = {}): Keyring {
  const environment = options.environment ?? process.env;
  const answerTimeoutMs = options.answerTimeoutMs ?? ANSWER_TIMEOUT_MS;
  const probeTimeoutMs = options.probeTimeoutMs ?? PROBE_TIMEOUT_MS;
  const lookup = async (id: string, timeoutMs: number): Promise<string | null> => {
    const result = await callTool(["lookup", ...attributes(id)], "", environment, timeoutMs);
    if (result.status === 0 && result.output !== "") return result.output.trim();
    // Not found is status 1 without a word (secret-tool(1), libsecret 0.20).
    if (result.status === 1 && result.complaint === "" && result.output === "") return null;
    throw new KeyringError(
      result.complaint === "" ? `secret-tool ended with status ${result.status}` : result.complaint,
    );
  };
  return {
    description: "the system keyring (secret-tool)",
    lookup: (id) => lookup(id, answerTimeoutMs),
    async store(id, text) {
      const words = ["store", "--label=sbx: key of stored secrets", ...attributes(id)];
      const result = await callTool(words, text, environment, probeTimeoutMs);
      if (result.status !== 0)
        throw new KeyringError(result.complaint || `secret-tool ended with status ${result.status}`);
      if ((await lookup(id, probeTimeoutMs)) !== text)
        throw new KeyringError("the keyring does not keep what it is given");
    },
    async remove(id) {
      await callTool(["clear", ...attributes(id)], "", environment, answerTimeoutMs);
    },
  };
}

function attributes(id: string): string[] {
  return ["application", "sbx", "key", id];
}

interface ToolResult {
  status: number;
  output: string;
  /** The first line of its standard error. */
  complaint: string;
}

async function callTool(
  words: readonly string[],
  input: string,
  environment: NodeJS.ProcessEnv,
  timeoutMs: number,
): Promise<ToolResult> {
  const { promise, resolve, reject } = Promise.withResolvers<ToolResult>();
  const child = spawn("secret-tool", words, { env: environment, stdio: ["pipe", "pipe", "pipe"] });
  const giveUp = (message: string): void => {
    reject(new KeyringError(message));
    child.kill("SIGKILL");
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
  };
  const timer = setTimeout(() => giveUp(`the keyring did not answer within ${timeoutMs / 1000} s`), timeoutMs);
  const output = collect(child.stdout, giveUp);
  const complaint = collect(child.stderr, giveUp);
  child.stdin.on("error", () => undefined); // it ended without reading: its status says why
  child.stdin.end(input);
  child.on("error", (error: NodeJS.ErrnoException) => {
    reject(new KeyringError(error.code === "ENOENT" ? "secret-tool is not installed" : error.message));
  });
  child.on("close", (code) => {
    const [line = ""] = complaint().split("\n");
    resolve({ status: code ?? -1, output: output(), complaint: line.replace(/^secret-tool: /, "").slice(0, 300) });
  });
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}

function collect(stream: NodeJS.ReadableStream, giveUp: (message: string) => void): () => string {
  let text = "";
  stream.setEncoding("utf8");
  stream.on("data", (chunk: string) => {
    text += chunk;
    if (text.length > MAX_OUTPUT_BYTES) giveUp("secret-tool says too much");
  });
  return () => text;
}
