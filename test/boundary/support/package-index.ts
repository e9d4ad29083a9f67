/**
 * An index of packages for each of the guest's installers, under one host: a PEP 503 index with a pure wheel, an npm
 * packument with its tarball, and a module for deno. Each package says `installed` when it is used.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { ServerResponse } from "node:http";
import type { Answer } from "./echo-server.ts";

const WHEEL = "tiny_sbx-1.0-py3-none-any.whl";

/** The three files that make a wheel (binary distribution format 1.0). */
const MAKE_WHEEL = `
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as wheel:
    files = {
        "tiny_sbx.py": "word = 'installed'\\n",
        "tiny_sbx-1.0.dist-info/METADATA": "Metadata-Version: 2.1\\nName: tiny-sbx\\nVersion: 1.0\\n",
        "tiny_sbx-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    record = "tiny_sbx-1.0.dist-info/RECORD"
    files[record] = "".join(f"{name},,\\n" for name in [*files, record])
    for name, text in files.items(): wheel.writestr(name, text)
`;

export interface Packages {
  wheel: Buffer;
  tarball: Buffer;
}

export function makePackages(directory: string): Packages {
  mkdirSync(path.join(directory, "package"), { recursive: true });
  const wheelPath = path.join(directory, WHEEL);
  execFileSync("python3", ["-c", MAKE_WHEEL, wheelPath]);
  writeFileSync(
    path.join(directory, "package", "package.json"),
    JSON.stringify({ name: "tiny-sbx", version: "1.0.0" }),
  );
  writeFileSync(path.join(directory, "package", "index.js"), "module.exports = 'installed';\n");
  const tarball = execFileSync("tar", ["-C", directory, "-cz", "package"]);
  return { wheel: readFileSync(wheelPath), tarball };
}

/** @param host what the packument's tarball is said to lie at. @param authorization what has to be shown, if any */
export function packageIndex({ wheel, tarball }: Packages, host: string, authorization?: readonly string[]): Answer {
  const packument = {
    name: "tiny-sbx",
    "dist-tags": { latest: "1.0.0" },
    versions: {
      "1.0.0": {
        name: "tiny-sbx",
        version: "1.0.0",
        dist: {
          tarball: `https://${host}/npm/tiny-sbx/-/tiny-sbx-1.0.0.tgz`,
          integrity: `sha512-${createHash("sha512").update(tarball).digest("base64")}`,
        },
      },
    },
  };
  const content = new Map<string, [type: string, body: Buffer | string]>([
    ["/simple/tiny-sbx/", ["text/html", `<!DOCTYPE html><a href="../../files/${WHEEL}">${WHEEL}</a>`]],
    [`/files/${WHEEL}`, ["application/octet-stream", wheel]],
    ["/npm/tiny-sbx", ["application/json", JSON.stringify(packument)]],
    ["/npm/tiny-sbx/-/tiny-sbx-1.0.0.tgz", ["application/octet-stream", tarball]],
    [
      "/deno/main.ts",
      ["application/typescript", 'import { word } from "./word.ts";\nconsole.log(word satisfies string);\n'],
    ],
    ["/deno/word.ts", ["application/typescript", 'export const word: string = "installed";\n']],
  ]);
  return ({ url, headers }, anyResponse) => {
    const found = content.get(url);
    if (found === undefined) return false;
    // The two kinds of responses have the same methods, whose overloads TypeScript cannot put together.
    const response = anyResponse as ServerResponse;
    if (authorization !== undefined && !authorization.includes(headers.authorization as string)) {
      response.writeHead(401, { "www-authenticate": 'Basic realm="packages"' }).end();
    } else {
      response.writeHead(200, { "content-type": found[0] }).end(found[1]);
    }
    return true;
  };
}
