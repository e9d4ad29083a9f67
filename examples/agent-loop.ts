/**
 * An agent loop: a model asks for tools, the tools work in a sandbox, their results go back to the model until it has an
 * answer. The model here is a stand-in that follows a script; put a call to a real one in its place.
 *
 *   node examples/agent-loop.ts
 */
import { connect, network, run, type Sandbox, SbxError } from "sbx";

type Turn = { tool: "write_file" | "run_python"; input: Record<string, string> } | { answer: string };

/** Stands for a language model: it sees what the tools said last, and decides. */
function fakeModel(history: readonly string[]): Turn {
  const script = "/app/primes.py";
  const program = (limit: string): string =>
    `print(sum(n for n in range(2, ${limit}) if all(n % d for d in range(2, n))))`;
  const last = history.at(-1) ?? "";
  if (history.length === 0) return { tool: "write_file", input: { path: script, content: program("limit") } };
  if (last.startsWith("wrote")) return { tool: "run_python", input: { path: script } };
  // Its first attempt does not run. It reads why, and corrects it.
  if (last.includes("NameError")) return { tool: "write_file", input: { path: script, content: program("1000") } };
  return { answer: `The primes below 1000 add up to ${last.trim()}.` };
}

/** What the model may do. Whatever goes wrong is told to it: that is how it gets further. */
async function useTool(sandbox: Sandbox, turn: Extract<Turn, { tool: string }>): Promise<string> {
  const { path = "", content = "" } = turn.input;
  try {
    if (turn.tool === "write_file") {
      await sandbox.files.write(path, content);
      return `wrote ${path}`;
    }
    const { code, stdout, stderr } = await run(sandbox, ["python3", path], { timeoutMs: 30_000 });
    return code === 0 ? stdout : `exit status ${code}\n${stderr}`;
  } catch (error) {
    if (!(error instanceof SbxError)) throw error;
    return `${error.code}: ${error.message}`;
  }
}

await using runtime = await connect();
await using sandbox = await runtime.create({
  lifetime: { kind: "session" },
  // Nothing but this host, whatever the model writes.
  network: network({ allow: ["api.example.com:443"] }),
});

const history: string[] = [];
for (;;) {
  const turn = fakeModel(history);
  if ("answer" in turn) {
    console.log(turn.answer);
    break;
  }
  const result = await useTool(sandbox, turn);
  console.log(`${turn.tool}: ${result.trim().split("\n").at(-1) ?? ""}`);
  history.push(result);
}
