/**
 * Where an image's own package managers fetch from, as their configuration in the image says: what the preset `balanced`
 * lets a sandbox reach. Asked of the programs themselves, so that no list here can be out of date.
 */
import type { Workshop } from "./workshop.ts";
import type { Argv } from "./command.ts";

export interface Registry {
  /** The program that fetches from it, such as `npm`. */
  tool: string;
  host: string;
}

/** Hosts of one program; more than one where its index and its files lie apart. */
const MAX_HOSTS_PER_TOOL = 8;
const HOST = /^(?=.{1,253}$)[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})+$/;

/** Prints the index of Debian's pip and the host of its files, and what a pip.conf of the image says instead. */
const PIP_SCRIPT = `
from pip._internal.configuration import Configuration
from pip._internal.models.index import PyPI
c = Configuration(isolated=False); c.load()
url = dict(c.items()).get("global.index-url")
print(url or PyPI.url)
if not url: print("https://" + PyPI.file_storage_domain)
`;

const QUESTIONS: readonly { tool: string; argv: Argv }[] = [
  { tool: "npm", argv: ["/usr/local/bin/npm", "config", "get", "registry"] },
  { tool: "pip", argv: ["/usr/bin/python3", "-c", PIP_SCRIPT] },
  { tool: "go", argv: ["/usr/bin/go", "env", "GOPROXY"] },
];

/**
 * Asks the package managers in a finished root file system. One that is not there or does not answer has no entry: its
 * hosts then have to be named by the user.
 *
 * @param aptSources the guest's sources.list
 */
export async function findRegistries(
  workshop: Workshop,
  rootPath: string,
  aptSources: string,
  signal: AbortSignal | undefined,
): Promise<Registry[]> {
  const environment = ["env", "--ignore-environment", "HOME=/root", "PATH=/usr/local/bin:/usr/bin:/bin"] as const;
  const answers = await Promise.all(
    QUESTIONS.map(async ({ tool, argv }) => {
      try {
        const output = await workshop.run(["chroot", rootPath, ...environment, ...argv], { signal });
        return hostsIn(tool, output.toString("utf8"));
      } catch {
        signal?.throwIfAborted();
        return []; // Not in this image.
      }
    }),
  );
  return [...hostsIn("apt", aptSources), ...answers.flat()];
}

/** The hosts of all http URLs in a text. */
export function hostsIn(tool: string, text: string): Registry[] {
  const hosts = new Set<string>();
  for (const [url] of text.matchAll(/https?:\/\/[^\s,|"']+/g)) {
    const host = URL.parse(url)?.hostname;
    if (host !== undefined && HOST.test(host) && hosts.size < MAX_HOSTS_PER_TOOL) hosts.add(host);
  }
  return [...hosts].map((host) => ({ tool, host }));
}
