/** Directories: XDG's, SBX_HOME's, short enough for sockets, and nobody else's. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { chmodSync, chownSync, mkdirSync, statSync, symlinkSync } from "node:fs";
import path from "node:path";
import { prepareDirectories, statePaths } from "../../../src/runtime/local/paths.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

test("without variables everything lies in the home directory's XDG places", () => {
  const paths = statePaths({ HOME: "/home/a b" });
  assert.equal(paths.templatesPath, "/home/a b/.local/share/sbx/templates");
  assert.equal(paths.databasePath, "/home/a b/.local/state/sbx/sbx.db");
  assert.match(paths.socketsPath, /^\/.*\/sbx-\d+-[0-9a-f]{8}$/);
});

test("XDG variables are followed; relative and empty ones are ignored, as the specification says", () => {
  const paths = statePaths({ HOME: "/h", XDG_DATA_HOME: "/data", XDG_STATE_HOME: "/state", XDG_RUNTIME_DIR: "/run/u" });
  assert.deepEqual([paths.dataPath, paths.statePath, paths.socketsPath], ["/data/sbx", "/state/sbx", "/run/u/sbx"]);
  const ignored = statePaths({ HOME: "/h", XDG_DATA_HOME: "data", XDG_STATE_HOME: "", XDG_RUNTIME_DIR: "run" });
  assert.equal(ignored.dataPath, "/h/.local/share/sbx");
  assert.equal(ignored.statePath, "/h/.local/state/sbx");
  assert.match(ignored.socketsPath, /sbx-\d+-/);
});

test("SBX_HOME holds everything, an empty one counts as unset, a relative one is refused", () => {
  const paths = statePaths({ HOME: "/h", SBX_HOME: "/s", XDG_RUNTIME_DIR: "/run/u" });
  assert.deepEqual([paths.dataPath, paths.statePath, paths.socketsPath], ["/s/data", "/s/state", "/s/run"]);
  assert.equal(statePaths({ HOME: "/h", SBX_HOME: "" }).statePath, "/h/.local/state/sbx");
  assert.throws(() => statePaths({ SBX_HOME: "s" }), {
    code: "config_invalid",
    message: 'SBX_HOME must be an absolute path, not "s"',
  });
  assert.throws(() => statePaths({ HOME: "" }), { message: 'HOME must be an absolute path, not ""' });
});

test("where a socket's path would be too long it moves to a short directory, one for each state", () => {
  const long = `/${"x".repeat(90)}`;
  const one = statePaths({ SBX_HOME: long }).socketsPath;
  const other = statePaths({ SBX_HOME: `${long}y` }).socketsPath;
  assert.notEqual(one, other);
  for (const directory of [one, other]) assert.ok(Buffer.byteLength(directory) + 36 <= 107);
});

test("directories are made closed to others, and an open socket directory is closed", (t) => {
  const paths = statePaths({ SBX_HOME: path.join(temporaryDirectory(t), "a b") });
  mkdirSync(paths.socketsPath, { recursive: true });
  chmodSync(paths.socketsPath, 0o755);
  prepareDirectories(paths);
  for (const directory of [paths.dataPath, paths.statePath, paths.sandboxesPath, paths.socketsPath]) {
    assert.equal(statSync(directory).mode & 0o777, 0o700, directory);
  }
});

test("a socket directory that is a link to one is refused, since somebody else may have put it there", (t) => {
  const root = temporaryDirectory(t);
  const paths = { ...statePaths({ SBX_HOME: root }), socketsPath: path.join(root, "link") };
  mkdirSync(path.join(root, "target"));
  symlinkSync(path.join(root, "target"), paths.socketsPath);
  assert.throws(() => prepareDirectories(paths), {
    code: "config_invalid",
    message: `${paths.socketsPath} belongs to somebody else`,
  });
});

test("a socket directory of another user is refused", (t) => {
  const root = temporaryDirectory(t);
  let socketsPath = "/proc/1/task"; // root's
  if (process.getuid?.() === 0) {
    socketsPath = path.join(root, "foreign");
    mkdirSync(socketsPath);
    chownSync(socketsPath, 4321, 4321);
  }
  assert.throws(() => prepareDirectories({ ...statePaths({ SBX_HOME: root }), socketsPath }), {
    code: "config_invalid",
    message: `${socketsPath} belongs to somebody else`,
    hint: "set XDG_RUNTIME_DIR to a directory of your own",
  });
});

for (const [where, home] of [
  ["below a file", "/dev/null/sbx"],
  ["below a directory that takes no entries", "/proc/sbx"],
] as const) {
  test(`a home ${where} is refused with its path and what to set`, () => {
    assert.throws(() => prepareDirectories(statePaths({ SBX_HOME: home })), {
      code: "config_invalid",
      message: `the directory ${home}/data cannot be made`,
      hint: "set SBX_HOME to a directory that you can write to",
    });
  });
}
