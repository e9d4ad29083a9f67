/** The server in go-server/, built and started: it discards and accepts what Node's own servers do not. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

export interface GoServer extends AsyncDisposable {
  tlsPort: number;
  httpPort: number;
  /** What it was asked for, such as `handshake for a.example`. */
  seen: readonly string[];
}

export async function startGoServer(): Promise<GoServer> {
  const directory = await mkdtemp(path.join(tmpdir(), "sbx-go-server-"));
  const program = path.join(directory, "server");
  const cwd = path.join(import.meta.dirname, "go-server");
  await promisify(execFile)("go", ["build", "-o", program, "."], { cwd });
  const child = spawn(program, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout });
  const [first] = (await once(lines, "line")) as [string];
  const [tlsPort = 0, httpPort = 0] = first.split(" ").map(Number);
  const seen: string[] = [];
  lines.on("line", (line: string) => seen.push(line));
  return {
    ...{ tlsPort, httpPort, seen },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await once(child, "close");
      await rm(directory, { recursive: true });
    },
  };
}
