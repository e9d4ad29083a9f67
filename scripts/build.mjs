/**
 * Bundles the sources: dist/main.js is the whole command line with the runtime behind it, dist/supervisor.js the
 * supervisor, dist/hook-host.js what runs a user's hooks, and each file of dist/commands is where oclif expects a command and only points into dist/main.js.
 *
 * One file, because each further module costs a third of a millisecond at every start; inside it everything is
 * initialised when it is first used. What few commands need and is large stays in node_modules (EXTERNAL).
 *
 * Files are replaced whole, so an sbx that is starting meanwhile gets the old or the new one. dist/agent is not touched
 * (scripts/build-agent.mjs makes it).
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build as esbuild } from "esbuild";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** Programs that other programs of sbx start: by the name in dist/. */
const PROGRAMS = {
  "supervisor.js": "src/supervisor/main.ts",
  "ssh-proxy.js": "src/runtime/local/ssh/quick-proxy.ts",
  "hook-host.js": "src/egress/hooks/hook-host.ts",
  "attach-editor.js": "src/runtime/local/editor/attach-program.ts",
};

/**
 * What is large, seldom needed, and not left to node_modules: files of their own, by their name in dist/, which are read
 * when they are imported. (undici in the supervisor's own file: 3 ms of its start, and a megabyte of its memory.)
 */
const APART = { "undici.js": { package: "undici", names: ["Agent", "fetch"] } };

/** What other packages import; apart from dist/main.js, so that they do not load the command line. */
const LIBRARY = { "index.js": "src/index.ts" };

/** What of dist/ belongs to this script. */
const OWNED = ["main.js", ...Object.keys({ ...PROGRAMS, ...APART, ...LIBRARY }), "hooks.d.ts", "commands", "hooks"];

/**
 * Left to node_modules: loaded by few commands, or optional (oclif compiles with typescript where it is installed, ws
 * takes native helpers where there are any).
 */
const EXTERNAL = [
  "@modelcontextprotocol/server",
  "conf",
  "inquirer",
  "ora",
  "typescript",
  "bufferutil",
  "utf-8-validate",
];

/** Bundled CommonJS modules expect what Node gives to such a module. */
const BANNER = [
  'const require = process.getBuiltinModule("node:module").createRequire(import.meta.url);',
  "const { filename: __filename, dirname: __dirname } = import.meta;",
  // See shareBuiltins.
  "const shares$ = new Map();",
  "const shared$ = (load) => shares$.get(load) ?? (shares$.set(load, __toESM(load(), 1)), shares$.get(load));",
].join("\n");

const OPTIONS = {
  absWorkingDir: ROOT,
  bundle: true,
  platform: "node",
  target: "node24",
  format: "esm",
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: "eof",
  banner: { js: BANNER },
  external: EXTERNAL,
  plugins: [packagesApart(), builtinModules(), lazyRequires(), lazyWebSockets(), englishOnly(), noNativeHelpers()],
  logLevel: "warning",
  write: false,
  outdir: join(ROOT, "dist"),
};

/**
 * Takes Node's own modules from `process.getBuiltinModule`. An `import` of one makes an ESM facade of it, which reads
 * every export and so loads what hides behind lazy ones (measured: 5 ms of the start).
 */
function builtinModules() {
  return {
    name: "builtin-modules",
    setup(builder) {
      builder.onResolve({ filter: /.*/ }, ({ path }) => (isBuiltin(path) ? { path, namespace: "builtin" } : undefined));
      builder.onLoad({ filter: /.*/, namespace: "builtin" }, ({ path }) => ({
        contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`,
      }));
    },
  };
}

/**
 * Makes oclif load its own modules and its dependencies when they are first used, instead of all of them at once
 * (measured: 10 ms of the start). Its files are what TypeScript emits for CommonJS: every import is one
 * `const name_1 = require("…");` at the top, and is only ever used as `name_1.something`.
 */
function lazyRequires() {
  const statement = /^(?:const|var) (\w+_\d+) = ((?:__importDefault|__importStar)\()?require\("([^"]+)"\)\)?;$/gm;
  const getter = (name, value) =>
    `Object.defineProperty(lazy$, "${name}", { configurable: true, get() { ` +
    `const value = ${value}; Object.defineProperty(lazy$, "${name}", { value }); return value; } });`;
  return {
    name: "lazy-requires",
    setup(builder) {
      builder.onLoad({ filter: /[\\/]@oclif[\\/]core[\\/]lib[\\/].*\.js$/ }, ({ path }) => {
        const source = readFileSync(path, "utf8");
        const names = [...source.matchAll(statement)].map(([, name]) => name);
        let contents = source.replace(statement, (_, name, wrap = "", module) =>
          getter(name, `${wrap}require("${module}")${wrap === "" ? "" : ")"}`),
        );
        for (const name of names) contents = contents.replaceAll(new RegExp(`\\b${name}\\.`, "g"), `lazy$.${name}.`);
        return { contents: `const lazy$ = {};\n${contents}`, loader: "js" };
      });
    },
  };
}

/** Files of ws, and what they are to load when they need it. */
const LAZY_IN_WS = { "permessage-deflate.js": ["zlib"], "websocket.js": ["https", "tls"] };

/**
 * ws loads zlib for a compression that sbx never agrees to, and TLS for clients, which no supervisor is (measured: 8 and 5
 * ms of its start).
 */
function lazyWebSockets() {
  const without = (contents, name, path) => {
    const statement = `const ${name} = require('${name}');`;
    if (!contents.includes(statement)) throw new Error(`${path} is not as this build knows it`);
    return contents.replace(statement, "").replaceAll(new RegExp(`\\b${name}\\.`, "g"), `require('${name}').`);
  };
  return {
    name: "lazy-web-sockets",
    setup(builder) {
      builder.onLoad({ filter: /[\\/]ws[\\/]lib[\\/](?:permessage-deflate|websocket)\.js$/ }, ({ path }) => {
        const source = readFileSync(path, "utf8");
        const contents = LAZY_IN_WS[basename(path)].reduce((text, name) => without(text, name, path), source);
        return { contents, loader: "js" };
      });
    },
  };
}

/**
 * ssh2 takes helpers in machine code where npm has built them, and gets along without. Which of the two an installation
 * has must not decide what it does, so they are never there. A cipher that sbx does not offer, and keys with passwords,
 * which it has none of, would be a tenth of the supervisor.
 */
function noNativeHelpers() {
  return {
    name: "no-native-helpers",
    setup(builder) {
      builder.onResolve({ filter: /(?:sshcrypto\.node|^cpu-features)$/ }, ({ path }) => ({
        path,
        namespace: "native",
      }));
      builder.onLoad({ filter: /.*/, namespace: "native" }, ({ path }) => ({
        contents: `throw new Error(${JSON.stringify(`${path} is not used`)});`,
      }));
      builder.onLoad({ filter: /[\\/]ssh2[\\/]lib[\\/]protocol[\\/]crypto[\\/]poly1305\.js$/ }, () => ({
        contents: "module.exports = async () => ({ _malloc() {}, cwrap() {} });",
      }));
      builder.onLoad({ filter: /[\\/]bcrypt-pbkdf[\\/]index\.js$/ }, () => ({
        contents: "exports.pbkdf = undefined;",
      }));
    },
  };
}

/** The packages of APART are imported from their files. */
function packagesApart() {
  return {
    name: "packages-apart",
    setup(builder) {
      for (const [file, apart] of Object.entries(APART)) {
        builder.onResolve({ filter: new RegExp(`^${apart.package}$`) }, ({ importer }) =>
          importer === join(ROOT, file) ? undefined : { path: `./${file}`, external: true },
        );
      }
    },
  };
}

/** zod brings its messages in fifty languages, 300 kB that take 8 ms of every start; sbx speaks one of them. */
function englishOnly() {
  return {
    name: "english-only",
    setup(builder) {
      builder.onLoad({ filter: /[\\/]zod[\\/]v4[\\/]locales[\\/]index\.js$/ }, () => ({
        contents: 'export { default as en } from "./en.js";',
      }));
    },
  };
}

/** Builds everything. @param {string} dist where to; tests take a directory of their own */
export async function build(dist = join(ROOT, "dist")) {
  const commands = commandFiles();
  const files = new Map([
    [
      join(dist, "main.js"),
      await bundle({ stdin: { contents: entry(commands), resolveDir: ROOT, sourcefile: "entry.js" } }),
    ],
    [join(dist, "hooks", "command-not-found.js"), 'export { commandNotFound as default } from "../main.js";\n'],
  ]);
  for (const { id, name } of commands) {
    const up = "../".repeat(id.split(":").length);
    files.set(
      join(dist, "commands", `${name}.js`),
      `import { commands } from "${up}main.js";\nexport const { default: command } = await commands["${id}"]();\nexport default command;\n`,
    );
  }
  for (const [name, source] of Object.entries({ ...PROGRAMS, ...LIBRARY })) {
    files.set(join(dist, name), await bundle({ entryPoints: [source] }));
  }
  for (const [name, { package: from, names }] of Object.entries(APART)) {
    const contents = `export { ${names.join(", ")} } from "${from}";`;
    files.set(join(dist, name), await bundle({ stdin: { contents, resolveDir: ROOT, sourcefile: join(ROOT, name) } }));
  }
  // Types alone, without imports: what a user's hook is written against.
  files.set(join(dist, "hooks.d.ts"), readFileSync(join(ROOT, "src", "egress", "hooks", "types.ts"), "utf8"));
  for (const [path, contents] of files) writeWhole(path, contents);
  removeStale(dist, new Set(files.keys()));
}

/** The program with its commands, each of which is initialised when it is called for. */
function entry(commands) {
  const table = commands.map(({ id, path }) => `  "${id}": () => import("./${path}"),`).join("\n");
  return [
    'import { main as run } from "./src/cli/main.ts";',
    // For programs, such as bench/, that use the runtime in their own process.
    'export { openRuntime } from "./src/runtime/select.ts";',
    'export { default as commandNotFound } from "./src/cli/hooks/command-not-found.ts";',
    `export const commands = {\n${table}\n};`,
    "export const main = (argv, options) => run(argv, { ...options, commands });",
  ].join("\n");
}

async function bundle(options) {
  const { outputFiles, metafile } = await esbuild({ ...OPTIONS, ...options, metafile: true });
  requireLazyExternals(metafile);
  return shareBuiltins(outputFiles[0].text);
}

/**
 * Every source that imports one of Node's own modules gets a copy of its names made by esbuild's helper, a getter for
 * each. One copy for all of them is as good (measured: 8 ms of a command's start, of 350 copies).
 */
function shareBuiltins(code) {
  const names = [...code.matchAll(/\b(require_\w+)=__commonJS\(\{"builtin:/g)].map(([, name]) => name);
  if (names.length === 0) throw new Error("Node's own modules are not imported as this build knows it");
  return code.replaceAll(/\b__toESM\((require_\w+)\(\),1\)/g, (call, name) =>
    names.includes(name) ? `shared$(${name})` : call,
  );
}

/**
 * In a bundle, what any of its sources imports at its top is imported at the bundle's top: one command's package would be
 * loaded by every command (measured: 30 to 40 ms of each, of the packages of one).
 */
function requireLazyExternals({ outputs }) {
  const imports = Object.values(outputs).flatMap((output) => output.imports);
  const eager = imports.filter(({ kind, external }) => external && kind === "import-statement").map(({ path }) => path);
  if (eager.length > 0) throw new Error(`packages that stay in node_modules are imported with import(): ${eager}`);
}

function commandFiles() {
  const directory = join(ROOT, "src", "commands");
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((file) => file.isFile() && file.name.endsWith(".ts"))
    .map((file) => {
      const name = relative(directory, join(file.parentPath, file.name)).replace(/\.ts$/, "");
      return { id: name.split("/").join(":"), name, path: `src/commands/${name}.ts` };
    })
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** By temporary file and rename: a reader sees the old file or the new one. Unchanged files keep their date. */
function writeWhole(path, contents) {
  if (existsSync(path) && readFileSync(path, "utf8") === contents) return;
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, contents);
  renameSync(temporary, path);
}

function removeStale(dist, fresh) {
  for (const name of OWNED) {
    const start = join(dist, name);
    if (!existsSync(start)) continue;
    const files = statSync(start).isFile()
      ? [start]
      : readdirSync(start, { recursive: true, withFileTypes: true })
          .filter((file) => file.isFile())
          .map((file) => join(file.parentPath, file.name));
    for (const path of files) if (!fresh.has(path)) rmSync(path);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await build();
