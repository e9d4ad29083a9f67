/**
 * A bare repository behind git's own CGI program (git-http-backend(1)): protocol v2 over HTTP, for reading and writing,
 * for whoever shows the password.
 */
import { execFileSync, spawn } from "node:child_process";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import path from "node:path";
import type { ServerIdentity } from "./test-authority.ts";

export interface GitRepository {
  /** The directory that `project.git` lies in. */
  root: string;
  /** What is in `README.md`. */
  text: string;
}

/** One commit, on `main`. */
export function makeRepository(root: string): GitRepository {
  const text = "what a clone has in it\n";
  const tree = path.join(root, "tree");
  const git = (...args: string[]): string =>
    execFileSync("git", ["-c", "user.name=Test", "-c", "user.email=test@example.com", ...args], { encoding: "utf8" });
  git("init", "--quiet", "--initial-branch=main", tree);
  execFileSync("sh", ["-c", 'printf %s "$1" > "$2"', "sh", text, path.join(tree, "README.md")]);
  git("-C", tree, "add", "README.md");
  git("-C", tree, "commit", "--quiet", "-m", "First");
  git("clone", "--quiet", "--bare", tree, path.join(root, "project.git"));
  git("-C", path.join(root, "project.git"), "config", "http.receivepack", "true");
  return { root, text };
}

/** @param password absent: everybody may. @param sees is told the `Authorization` of each request */
export function gitServer(
  { root }: GitRepository,
  identity: ServerIdentity,
  { password, sees }: { password?: string; sees?: (authorization: string | undefined) => void },
): ReturnType<typeof createServer> {
  const expected = password === undefined ? undefined : `Basic ${Buffer.from(`user:${password}`).toString("base64")}`;
  return createServer(identity, (request, response) => {
    const { authorization } = request.headers;
    sees?.(authorization);
    if (expected !== undefined && authorization !== expected) {
      request.resume();
      response.writeHead(401, { "www-authenticate": 'Basic realm="git"' }).end();
      return;
    }
    runCgi(root, request, response);
  });
}

/** As RFC 3875 has it, as much as this one program needs. */
function runCgi(root: string, request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? "/", "https://x.example");
  const { headers } = request;
  const child = spawn("git", ["http-backend"], {
    stdio: ["pipe", "pipe", "inherit"],
    env: {
      PATH: process.env.PATH,
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: "1",
      PATH_INFO: url.pathname,
      QUERY_STRING: url.search.slice(1),
      REQUEST_METHOD: request.method,
      CONTENT_TYPE: headers["content-type"],
      CONTENT_LENGTH: headers["content-length"],
      HTTP_CONTENT_ENCODING: headers["content-encoding"],
      GIT_PROTOCOL: String(headers["git-protocol"] ?? ""),
      REMOTE_ADDR: "192.0.2.1",
    },
  });
  child.stdin.on("error", () => undefined); // It may end without having read all.
  request.pipe(child.stdin);
  const output: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
  child.on("close", () => {
    const all = Buffer.concat(output);
    const end = all.indexOf("\r\n\r\n");
    const lines = all.toString("latin1", 0, end).split("\r\n");
    const fields = lines.map((line) => line.split(/: (.*)/s, 2) as [string, string]);
    const status = fields.find(([name]) => name.toLowerCase() === "status")?.[1];
    for (const [name, value] of fields) if (name.toLowerCase() !== "status") response.setHeader(name, value);
    response.writeHead(Number.parseInt(status ?? "200", 10)).end(all.subarray(end + 4));
  });
}
