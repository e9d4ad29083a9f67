/** curl, as guests have it: HTTP/1.1 and HTTP/2, uploads with Expect, compressed and chunked. */
import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { PLACEHOLDER, VALUE } from "./fake-secrets.ts";
import { type Harness, HOST, startHarness } from "./harness.ts";
import { httpsServer } from "./servers.ts";

const hasCurl = (() => {
  try {
    return execFileSync("curl", ["--version"], { encoding: "utf8" }).includes("HTTP2");
  } catch {
    return false;
  }
})();

async function curl(harness: Harness, ...args: string[]): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), "sbx-curl-"));
  try {
    const ca = join(directory, "ca.pem");
    writeFileSync(ca, harness.ca);
    const target = ["--connect-to", `${HOST}:443:127.0.0.1:${harness.clientPort}`, "--cacert", ca];
    const { stdout } = await promisify(execFile)("curl", ["-sS", "--max-time", "20", ...target, ...args]);
    return stdout;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test("curl works unchanged, in both versions of HTTP", { skip: !hasCurl }, async () => {
  await using upstream = await httpsServer((request, response) => {
    let bytes = 0;
    request.on("data", (chunk: Buffer) => (bytes += chunk.length));
    request.on("end", () => response.end(`${request.method} ${request.headers.authorization} ${bytes}\n`));
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const url = `https://${HOST}/x`;
  const auth = ["-H", `authorization: Bearer ${PLACEHOLDER}`];
  const large = "z".repeat(2 * 1024 * 1024);
  const file = join(tmpdir(), `sbx-curl-${process.pid}`);
  writeFileSync(file, large);
  try {
    for (const version of ["--http1.1", "--http2"]) {
      assert.equal(await curl(harness, version, ...auth, url), `GET Bearer ${VALUE} 0\n`);
      assert.equal(await curl(harness, version, "-T", file, url), `PUT undefined ${large.length}\n`);
      assert.equal(
        await curl(harness, version, "-H", "transfer-encoding: chunked", "--data-binary", `@${file}`, url),
        `POST undefined ${large.length}\n`,
      );
      assert.match(await curl(harness, version, "-I", url), /^HTTP\/[12.]+ 200/);
      assert.equal(
        await curl(harness, version, "-w", "%{http_version} %{response_code}", "-o", "/dev/null", url),
        version === "--http2" ? "2 200" : "1.1 200",
      );
    }
  } finally {
    rmSync(file);
  }
});
