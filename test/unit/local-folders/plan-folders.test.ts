/** What of this machine a sandbox may have, and where. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { planFolders, type FolderPlan, type FolderWish } from "../../../src/runtime/local/folders/plan-folders.ts";
import { statePaths } from "../../../src/runtime/local/paths.ts";

const base = realpathSync(mkdtempSync(path.join(tmpdir(), "sbx-plan-")));
after(() => rmSync(base, { recursive: true, force: true }));
const home = path.join(base, "home");
const own = path.join(base, "sbx-home");
const project = path.join(home, "project");
for (const directory of [project, path.join(own, "state"), path.join(own, "data")]) {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
}
writeFileSync(path.join(home, "file"), "");
symlinkSync("project", path.join(home, "link"));
const env = { HOME: home, SBX_HOME: own };

const plan = (wish: FolderWish): FolderPlan => planFolders(wish, statePaths(env), env);
const mount = (hostPath: string, guestPath = "/m", access: "read-only" | "read-write" = "read-write") =>
  plan({ mounts: [{ hostPath, guestPath, access }] });

test("a mount keeps its quota and access, and a link to the directory counts as the directory", () => {
  const { launch, notices } = mount(path.join(home, "link"), "/work//dir/", "read-only");
  assert.deepEqual(launch.mounts, [
    { hostPath: project, guestPath: "/work/dir", readOnly: true, quota: { bytes: 4 * 1024 ** 3, files: 100_000 } },
  ]);
  assert.deepEqual(launch.forbiddenPaths.slice(0, 2), [path.join(own, "data"), path.join(own, "state")]);
  assert.deepEqual(notices, []);
});

test("the system's directories, the home directory and sbx's own are not mounted, and nothing around or in those", () => {
  const refused = ["/", "/etc", "/usr", "/proc/self", "/dev/shm", "/home", home, path.dirname(home), own];
  for (const hostPath of [...refused, path.join(own, "state"), base]) {
    for (const access of ["read-only", "read-write"] as const) {
      assert.throws(() => mount(hostPath, "/m", access), { code: "folder_refused" }, `${hostPath} ${access}`);
    }
  }
});

test("a copy that would take sbx's own state with it is refused", () => {
  for (const hostPath of [own, path.join(own, "state"), base, "/"]) {
    const copy = { hostPath, guestPath: "/c", placement: "as" } as const;
    assert.throws(() => plan({ copies: [copy] }), { code: "folder_refused" }, hostPath);
  }
});

test("a file, and what is not there, are no directory to mount", () => {
  assert.throws(() => mount(path.join(home, "file")), { code: "file_error" });
  assert.throws(() => mount(path.join(home, "nothing")), /no such file or directory/);
});

test("in the sandbox nothing takes the place of the root, of the kernel's directories, or of another mount", () => {
  for (const guestPath of ["/", "relative", "/a/../b", "/proc", "/sys/fs", "/dev", "/a\0b"]) {
    assert.throws(() => mount(project, guestPath), { name: "SbxError" }, guestPath);
  }
  const twice = { hostPath: project, guestPath: "/m", access: "read-only" } as const;
  assert.throws(() => plan({ mounts: [twice, twice] }), /cannot both be '\/m'/);
  assert.throws(
    () => plan({ mounts: [twice], copies: [{ hostPath: project, guestPath: "/m/inner", placement: "as" }] }),
    /would be copied into the mount/,
  );
  assert.throws(() => plan({ mounts: Array.from({ length: 17 }, (_, i) => ({ ...twice, guestPath: `/m${i}` })) }));
});

test("of two mounts that overlap on the host only one may be writable", () => {
  mkdirSync(path.join(project, "inner"), { recursive: true });
  const outer = { hostPath: project, guestPath: "/o", access: "read-write" } as const;
  const inner = { hostPath: path.join(project, "inner"), guestPath: "/i", access: "read-write" } as const;
  assert.throws(() => plan({ mounts: [outer, inner] }), /overlap/);
  assert.throws(() => plan({ mounts: [outer, { ...outer, guestPath: "/again" }] }), /overlap/);
  assert.equal(plan({ mounts: [outer, { ...inner, access: "read-only" }] }).launch.mounts.length, 2);
});

test("upper mounts come before those in them", () => {
  const at = (guestPath: string) => ({ hostPath: project, guestPath, access: "read-only" }) as const;
  const { launch } = plan({ mounts: [at("/a/b/c"), at("/a"), at("/a/b")] });
  assert.deepEqual(
    launch.mounts.map(({ guestPath }) => guestPath),
    ["/a", "/a/b", "/a/b/c"],
  );
});

test("whoever mounts a directory that others may write to, or that is another account's, is told", () => {
  chmodSync(project, 0o777);
  assert.match(mount(project).notices.join(), /written to by every account/);
  assert.deepEqual(mount(project, "/m", "read-only").notices, []);
  chmodSync(project, 0o700);
});

test("a copy goes into a directory under its own name, or takes a path; the places are made before", () => {
  const into = { hostPath: `${project}/`, guestPath: "/app", placement: "into" } as const;
  const as = { hostPath: path.join(home, "link"), guestPath: "/srv/p", placement: "as" } as const;
  const file = { hostPath: path.join(home, "file"), guestPath: "/srv/names/f", placement: "as" } as const;
  const { copies, launch } = plan({ copies: [into, as, file] });
  assert.deepEqual(
    copies.map(({ guestPath, isDirectory, hostPath }) => ({ guestPath, isDirectory, hostPath })),
    [
      { guestPath: "/app/project", isDirectory: true, hostPath: project },
      { guestPath: "/srv/p", isDirectory: true, hostPath: project },
      { guestPath: "/srv/names/f", isDirectory: false, hostPath: path.join(home, "file") },
    ],
  );
  assert.deepEqual(launch.places, ["/app/project", "/srv/p", "/srv/names"]);
});
