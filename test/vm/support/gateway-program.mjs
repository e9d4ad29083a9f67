// A program of a user's, with the official SDK: run with the lines that `sbx serve` prints, and nothing else.
import { setTimeout as sleep } from "node:timers/promises";
import { Sandbox } from "@deno/sandbox";

const sandbox = await Sandbox.create({ timeout: "10m", allowNet: [], port: 8000 });
const early = await fetch(sandbox.url);
await early.text();
await sandbox.fs.writeTextFile("hello.txt", "hello from the sandbox");
const python = await sandbox.spawn("python3", {
  args: ["-m", "http.server", "8000"],
  stdout: "null",
  stderr: "null",
});
const read = async (url) => {
  for (;;) {
    const response = await fetch(`${url}/hello.txt`);
    if (response.ok) return response.text();
    await response.text();
    await sleep(100);
  }
};
const { id, url } = sandbox;
const text = await read(url);
const urlOfProcess = await sandbox.exposeHttp({ pid: python.pid });
const textOfProcess = await read(urlOfProcess);
const refused = await sandbox.exposeHttp({ pid: 4_000_000 }).then(
  () => null,
  (error) => error.code,
);
console.log(JSON.stringify({ id, url, early: early.status, text, urlOfProcess, textOfProcess, refused }));
await sandbox.close();
