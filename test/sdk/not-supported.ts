/**
 * What the official SDKs document and this server does not do, each with its reason: nothing of their API. What is here
 * fails in the SDK itself, before or after anything that a server sees. A test fails where a member is neither used by a
 * test nor named here, and where one that is named here is used.
 */

const asynchronous = (names: readonly string[]): string[] => names.flatMap((name) => [name, `Async${name}`]);

export const NOT_SUPPORTED: Readonly<Record<"javascript" | "python", ReadonlyMap<string, string>>> = {
  javascript: new Map(
    [
      "RevisionProgressTimelineBlockedStage.stage",
      "RevisionProgressTimelineBlockedStage.timelines",
      "RevisionProgressTimelineRef.partition",
      "RevisionProgressTimelineRef.slug",
    ].map((name) => [name, "a timeline waits for others where they share a database; none here does"]),
  ),
  python: new Map([
    ...asynchronous([
      ...["Sandbox.spawn(signal)", "SandboxDeno.run(signal)", "SandboxDeno.repl(signal)"],
      ...["SandboxFs.read_file(signal)", "SandboxFs.read_text_file(signal)"],
    ]).map((name): [string, string] => [name, "its AbortSignal can do nothing, and is not JSON: sending it fails"]),
    ...asynchronous(["SandboxFs.walk(match)", "SandboxFs.walk(skip)"]).map((name): [string, string] => [
      name,
      "patterns are not JSON: sending them fails",
    ]),
    ...asynchronous([
      ...["SandboxFs.download", "SandboxFs.download(local_path)", "SandboxFs.download(sandbox_path)"],
    ]).map((name): [string, string] => [name, "it asks the server to write to the client's disk"]),
  ]),
};
