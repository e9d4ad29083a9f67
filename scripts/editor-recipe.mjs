/**
 * Writes image/editor/recipe.json: what VS Code for the browser is made of, for a version of code-server. Run by hand
 * when the version is to change: `node scripts/node.mjs scripts/editor-recipe.mjs 4.139.1 24.21.0`. Versions and hashes
 * of the modules come from code-server's own lock; no host name is kept.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

const [version, nodeVersion] = process.argv.slice(2);
if (version === undefined || nodeVersion === undefined) throw new Error("give the versions of code-server and of node");

const SERVER = "/code-server/lib/vscode";
/** Built-in extensions that need a service of the internet, or are large and of little use here. */
const EXTENSIONS = [
  "copilot",
  "debug-auto-launch",
  "debug-server-ready",
  "github",
  "mermaid-markdown-features",
  "microsoft-authentication",
  "ms-vscode.js-debug-companion",
  "ms-vscode.vscode-js-profile-table",
  "tunnel-forwarding",
];
const EVERYWHERE = ["*.map", "*.md", "*.d.ts"];

/** Modules that the server, its helpers or the page load, and what is left out of each. Others are never reached. */
const ROOTS = {
  "@microsoft/1ds-core-js": [],
  "@parcel/watcher": ["src", "binding.gyp"],
  "@vscode/iconv-lite-umd": [],
  "@vscode/proxy-agent": [],
  "@vscode/tree-sitter-wasm": [],
  "@vscode/vscode-languagedetection": [],
  "@xterm/addon-clipboard": [],
  "@xterm/addon-image": [],
  "@xterm/addon-ligatures": [],
  "@xterm/addon-progress": [],
  "@xterm/addon-search": [],
  "@xterm/addon-serialize": [],
  "@xterm/addon-unicode11": [],
  "@xterm/addon-webgl": [],
  "@xterm/headless": [],
  "@xterm/xterm": [],
  cookie: [],
  "http-proxy-agent": [],
  "https-proxy-agent": [],
  jschardet: [],
  katex: ["src", "contrib"],
  minimist: [],
  "node-pty": ["src", "third_party", "deps", "prebuilds/darwin-*", "prebuilds/win32-*", "binding.gyp", "scripts"],
  "tas-client": [],
  "vscode-oniguruma": [],
  "vscode-regexpp": [],
  "vscode-textmate": [],
  ws: [],
  yauzl: [],
  yazl: [],
};
/** Programs that come for each architecture. */
const NATIVE = { amd64: "x64", arm64: "arm64" };

const work = mkdtempSync(path.join(tmpdir(), "editor-recipe-"));
try {
  execFileSync("npm", ["pack", "--silent", "--ignore-scripts", `code-server@${version}`], { cwd: work });
  const [tarball] = readdirSync(work);
  execFileSync("tar", ["xzf", tarball], { cwd: work });
  const vscode = readLock(path.join(work, "package/lib/vscode/npm-shrinkwrap.json"));
  const extensions = readLock(path.join(work, "package/lib/vscode/extensions/npm-shrinkwrap.json"));
  const recipe = {
    schema: 1,
    version,
    capacityMiB: 512,
    npm: {
      ...Object.fromEntries(Object.keys(NATIVE).map((architecture) => [architecture, native(architecture, vscode)])),
      all: [
        {
          ...published("code-server", version),
          into: "/code-server",
          keep: ["LICENSE", "ThirdPartyNotices.txt", "lib/vscode"],
          drop: [...EVERYWHERE, ...EXTENSIONS.map((name) => `lib/vscode/extensions/${name}`)],
        },
        {
          ...locked("typescript", extensions, "node_modules/typescript"),
          into: `${SERVER}/extensions/node_modules/typescript`,
          keep: ["LICENSE.txt", "ThirdPartyNoticeText.txt", "package.json", "lib"],
          drop: ["*.map", "lib/_tsc.js", "lib/tsc.js"],
        },
        ...closure(vscode),
      ],
    },
  };
  const text = JSON.stringify(recipe, null, 2);
  writeFileSync("image/editor/recipe.json", `${text}\n`);
} finally {
  rmSync(work, { recursive: true });
}

function readLock(file) {
  return JSON.parse(readFileSync(file, "utf8")).packages;
}

function published(name, wanted) {
  const integrity = execFileSync("npm", ["view", `${name}@${wanted}`, "dist.integrity"], { encoding: "utf8" }).trim();
  return { name, version: wanted, integrity };
}

function locked(name, lock, place) {
  const { name: real = name, version: found, integrity } = lock[place];
  // Old packages are locked by SHA-1 alone.
  return integrity.startsWith("sha512-") ? { name: real, version: found, integrity } : published(real, found);
}

function native(architecture, lock) {
  const suffix = NATIVE[architecture];
  const watcher = `@parcel/watcher-linux-${suffix}-glibc`;
  const ripgrep = "@vscode/ripgrep-universal";
  return [
    { ...published(`node-linux-${suffix}`, nodeVersion), into: "/node", keep: ["bin/node", "LICENSE"], drop: [] },
    module(watcher, lock, `node_modules/${watcher}`, []),
    {
      ...module(ripgrep, lock, `node_modules/${ripgrep}`, []),
      keep: ["LICENSE", "package.json", "lib", `bin/linux-${suffix}`],
    },
  ];
}

function module(name, lock, place, drop) {
  const into = `${SERVER}/${place}`;
  return { ...locked(name, lock, place), into, keep: ["."], drop: [...EVERYWHERE, ...drop] };
}

/** The roots, and what they depend on, found as Node finds it. */
function closure(lock) {
  const found = new Map();
  const visit = (name, from, drop) => {
    const place = resolve(name, from, lock);
    // Not for this system, or left out of the lock.
    if (place === undefined || found.has(place) || lock[place].os !== undefined) return;
    found.set(place, module(name, lock, place, drop));
    const { dependencies = {}, optionalDependencies = {} } = lock[place];
    for (const next of Object.keys({ ...dependencies, ...optionalDependencies })) visit(next, place, ROOTS[next] ?? []);
  };
  for (const [name, drop] of Object.entries(ROOTS)) visit(name, "", drop);
  return [...found.values()].sort((a, b) => (a.into < b.into ? -1 : 1));
}

function resolve(name, from, lock) {
  for (let base = from; ; base = base.slice(0, Math.max(0, base.lastIndexOf("/node_modules/")))) {
    const place = base === "" ? `node_modules/${name}` : `${base}/node_modules/${name}`;
    if (lock[place] !== undefined) return place;
    if (base === "") return undefined;
  }
}
