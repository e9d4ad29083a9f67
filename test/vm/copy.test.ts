/** `sbx copy` with real machines: every direction, every kind of file, and guests that mean harm. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  open,
  readFile,
  readdir,
  readlink,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import path from "node:path";
import { after, before, test } from "node:test";
import { openTestHome } from "./support/test-home.ts";

const home = await openTestHome();
before(async () => {
  await Promise.all([home.create("--name", "here"), home.create("--name", "there")]);
});
after(async () => home[Symbol.asyncDispose]());

const freshDirectory = async (): Promise<string> => mkdtemp(home.scratch("copy-"));
const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

/** Everything below a directory: kind, mode, size, target and content of each entry. */
async function describeTree(directory: string): Promise<Record<string, string>> {
  const tree: Record<string, string> = {};
  for (const name of (await readdir(directory, { recursive: true })).sort()) {
    const file = path.join(directory, name);
    const stats = await lstat(file);
    const mode = (stats.mode & 0o7777).toString(8);
    if (stats.isSymbolicLink()) tree[name] = `-> ${await readlink(file)}`;
    else if (stats.isDirectory()) tree[name] = `directory ${mode}`;
    else tree[name] = `file ${mode} ${stats.size} ${sha256(await readFile(file))}`;
  }
  return tree;
}

async function makeTree(directory: string): Promise<void> {
  await mkdir(path.join(directory, "sub/deeper/empty"), { recursive: true });
  await writeFile(path.join(directory, "binary"), randomBytes(300_001));
  await writeFile(path.join(directory, "empty"), "");
  await writeFile(path.join(directory, "sub", "a b'c\"d\\e\nf ☃.txt"), "name\n");
  await writeFile(path.join(directory, "sub/deeper/script"), "#!/bin/sh\necho ran\n");
  await chmod(path.join(directory, "sub/deeper/script"), 0o750);
  await chmod(path.join(directory, "binary"), 0o604);
  await symlink("sub/deeper/script", path.join(directory, "link"));
  await symlink("/no/such/target", path.join(directory, "dangling"));
  await chmod(path.join(directory, "sub"), 0o711);
}

test("a tree goes in, over to another sandbox and out again as it was", async () => {
  const from = await freshDirectory();
  const to = await freshDirectory();
  await makeTree(path.join(from, "tree"));
  await home.must(["copy", path.join(from, "tree"), "here:"]);
  assert.equal(await home.must(["exec", "here", "--", "tree/link"]), "ran");
  await home.must(["copy", "here:tree", "there:/app/"]);
  await home.must(["copy", "there:/app/tree", `${to}/`]);
  assert.deepEqual(await describeTree(path.join(to, "tree")), await describeTree(path.join(from, "tree")));
});

test("several sources need a directory, a file can be given another name, and globs are the guest's", async () => {
  const directory = await freshDirectory();
  for (const name of ["one.txt", "two.txt", "three.md"]) await writeFile(path.join(directory, name), name);
  const [one, two, three] = ["one.txt", "two.txt", "three.md"].map((name) => path.join(directory, name)) as [
    string,
    string,
    string,
  ];
  await home.must(["copy", one, two, three, "here:/app/"]);
  await home.must(["copy", one, "here:/app/renamed"]);
  assert.equal(await home.must(["exec", "here", "--", "cat", "/app/renamed"]), "one.txt");
  const back = await freshDirectory();
  await home.must(["copy", "here:/app/*.txt", `${back}/`]);
  assert.deepEqual((await readdir(back)).sort(), ["one.txt", "two.txt"]);
  const refused = await home.sbx(["copy", one, two, "here:/app/renamed"]);
  assert.notEqual(refused.status, 0, "two sources cannot become one file");
  const missing = await home.sbx(["copy", "here:/no/such/file", back]);
  assert.notEqual(missing.status, 0);
  assert.match(missing.stderr, /\/no\/such\/file/);
});

test("a sparse file of 1 GiB stays sparse in both directions", async () => {
  const directory = await freshDirectory();
  const file = path.join(directory, "sparse");
  {
    await using handle = await open(file, "w");
    await handle.truncate(1024 ** 3);
    await handle.write("begin", 0);
    await handle.write("middle", 512 * 1024 ** 2 + 7);
    await handle.write("end", 1024 ** 3 - 3);
  }
  await home.must(["copy", file, "here:sparse"]);
  const [size, blocks] = (await home.bash("here", "stat -c '%s %b' sparse")).split(" ").map(Number) as [number, number];
  assert.equal(size, 1024 ** 3);
  assert.ok(blocks * 512 < 16 * 1024 ** 2, `it takes ${blocks * 512} bytes in the guest`);
  await home.must(["copy", "here:sparse", path.join(directory, "back")]);
  const back = await stat(path.join(directory, "back"));
  assert.equal(back.size, 1024 ** 3);
  assert.ok(back.blocks * 512 < 16 * 1024 ** 2, `it takes ${back.blocks * 512} bytes on the host`);
  await using handle = await open(path.join(directory, "back"));
  for (const [at, word] of [
    [0, "begin"],
    [512 * 1024 ** 2 + 7, "middle"],
    [1024 ** 3 - 3, "end"],
  ] as const) {
    const { buffer } = await handle.read(Buffer.alloc(word.length), 0, word.length, at);
    assert.equal(buffer.toString(), word);
  }
});

test("a large file of random bytes arrives as it was", async () => {
  const directory = await freshDirectory();
  const bytes = randomBytes(100 * 1024 ** 2);
  await writeFile(path.join(directory, "large"), bytes);
  await home.must(["copy", path.join(directory, "large"), "here:large"]);
  await home.must(["copy", "here:large", path.join(directory, "back")]);
  assert.equal(sha256(await readFile(path.join(directory, "back"))), sha256(bytes));
  await home.bash("here", "rm large");
});

test("what a guest's links point to is neither read nor written on the host", async () => {
  const directory = await freshDirectory();
  const outside = path.join(directory, "outside");
  const inside = path.join(directory, "inside");
  await mkdir(outside);
  await mkdir(inside);
  await writeFile(path.join(outside, "precious"), "precious\n");
  await home.bash(
    "here",
    `mkdir -p evil && cd evil && ln -s ${outside} dir && ln -s ${outside}/precious file && ln -s /etc/passwd pw`,
  );
  await home.must(["copy", "here:evil", `${inside}/`]);
  assert.equal(await readlink(path.join(inside, "evil/dir")), outside, "a link stays a link");
  // Now the same names are a directory and a file: what was a link must be replaced or refused, never followed.
  await home.bash(
    "here",
    "cd evil && rm dir file && mkdir dir && echo overwritten > dir/precious && echo overwritten > file",
  );
  await home.sbx(["copy", "here:evil", `${inside}/`]);
  assert.equal(await readFile(path.join(outside, "precious"), "utf8"), "precious\n");
  assert.deepEqual(await readdir(outside), ["precious"]);
});

test("a link of the host's own user within the destination is not followed for what a guest names", async () => {
  const directory = await freshDirectory();
  await mkdir(path.join(directory, "outside"));
  await mkdir(path.join(directory, "inside"));
  await symlink(path.join(directory, "outside"), path.join(directory, "inside/sub"));
  await home.bash("here", "mkdir -p payload/sub && echo x > payload/sub/planted && chmod 755 payload");
  await home.sbx(["copy", "here:payload/*", `${path.join(directory, "inside")}/`]);
  assert.deepEqual(await readdir(path.join(directory, "outside")), []);
});

test("devices, pipes and sockets are left out and told; escapes in their names are not passed to the terminal", async () => {
  const directory = await freshDirectory();
  await home.bash(
    "here",
    "mkdir -p odd && cd odd && sudo mknod disk b 8 0 && sudo mknod null c 1 3 && mkfifo pipe && mkfifo $'\\e]0;evil\\a\\e[31mred' && echo fine > fine",
  );
  const outcome = await home.sbx(["copy", "here:odd", `${directory}/`]);
  assert.equal(outcome.status, 1, "not everything was copied");
  assert.deepEqual(await readdir(path.join(directory, "odd")), ["fine"]);
  for (const name of ["disk", "null", "pipe", "red"]) assert.match(outcome.stderr, new RegExp(`odd/.*${name}`));
  assert.ok(!outcome.stderr.includes("\u001b") && !outcome.stderr.includes("\u0007"), JSON.stringify(outcome.stderr));
});

test("set-user-id files do not become so on the host, and nothing belongs to anybody but the user", async () => {
  const directory = await freshDirectory();
  await home.bash(
    "here",
    "mkdir -p suid && cp /bin/true suid/tool && sudo chown root suid/tool && sudo chmod 6755 suid/tool",
  );
  await home.must(["copy", "here:suid", `${directory}/`]);
  const stats = await stat(path.join(directory, "suid/tool"));
  assert.equal(stats.mode & 0o7000, 0);
  assert.equal(stats.uid, process.getuid?.());
});

test("a copy runs with the rights of the guest's ordinary user unless told otherwise", async () => {
  const directory = await freshDirectory();
  const file = path.join(directory, "f");
  await writeFile(file, "root's\n");
  const refused = await home.sbx(["copy", file, "here:/etc/f"]);
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /permission denied|EACCES/i);
  await home.must(["copy", "--user", "root", file, "here:/etc/f"]);
  assert.equal(await home.must(["exec", "here", "--", "stat", "-c", "%U", "/etc/f"]), "root");
  const secret = await home.sbx(["copy", "here:/etc/shadow", `${directory}/`]);
  assert.notEqual(secret.status, 0);
});
