/**
 * The preset `balanced`: hosts that most development work needs, over HTTPS. It is a list that anybody can read, not a
 * judgement on those hosts: whatever can be uploaded there can leave the sandbox.
 *
 * The registries that package managers use are not part of this file. They are whatever the image's own tools are
 * configured with, so the caller reads them there.
 */
import { parseHostPattern } from "./host-pattern.ts";
import type { PortRange } from "./ports.ts";
import type { NetMode, RuleDraft } from "./spec.ts";

/** The host that a package manager fetches from, as it is configured; perhaps with a port. */
export interface Registry {
  tool: string;
  host: string;
}

export interface PresetGroup {
  title: string;
  hosts: readonly string[];
}

const HTTPS: readonly PortRange[] = [{ first: 443, last: 443 }];
/** Some package managers verify signatures and fetch in clear. */
const WEB: readonly PortRange[] = [
  { first: 80, last: 80 },
  { first: 443, last: 443 },
];

const BALANCED: readonly PresetGroup[] = [
  {
    title: "code hosting",
    hosts: [
      "github.com",
      "api.github.com",
      "codeload.github.com",
      "*.githubusercontent.com",
      "github-cloud.s3.amazonaws.com",
      "gitlab.com",
      "bitbucket.org",
      "api.bitbucket.org",
      "codeberg.org",
      "git.sr.ht",
      "*.googlesource.com",
    ],
  },
  {
    title: "AI services",
    hosts: [
      "api.anthropic.com",
      "api.openai.com",
      "generativelanguage.googleapis.com",
      "api.mistral.ai",
      "api.cohere.com",
      "api.deepseek.com",
      "api.groq.com",
      "api.x.ai",
      "api.together.xyz",
      "openrouter.ai",
    ],
  },
  {
    title: "documentation",
    hosts: [
      "developer.mozilla.org",
      "docs.python.org",
      "doc.rust-lang.org",
      "docs.github.com",
      "docs.gitlab.com",
      "en.cppreference.com",
      "docs.oracle.com",
      "learn.microsoft.com",
      "www.typescriptlang.org",
      "www.rfc-editor.org",
      "datatracker.ietf.org",
      "www.w3.org",
      "stackoverflow.com",
      "en.wikipedia.org",
    ],
  },
];

/** What a preset allows, by subject; nothing for `none` and `open`. */
export function presetGroups(name: NetMode, options: { registries?: readonly Registry[] } = {}): PresetGroup[] {
  if (name !== "balanced") return [];
  const byTool = Map.groupBy(options.registries ?? [], ({ tool }) => tool);
  const registries = [...byTool].map(([tool, entries]) => ({
    title: `packages for ${tool}`,
    hosts: [...new Set(entries.map(({ host }) => host))],
  }));
  return [...BALANCED, ...registries];
}

/** The preset as rules. @throws SbxError `usage` for a registry that is no host */
export function presetRules(name: NetMode, options: { registries?: readonly Registry[] } = {}): RuleDraft[] {
  if (name !== "balanced") return [];
  const own = BALANCED.flatMap(({ hosts }) => hosts.map((host) => draft(name, host, HTTPS)));
  const rules = [...own, ...(options.registries ?? []).map(({ host }) => registryDraft(name, host))];
  const byText = new Map(rules.map((rule) => [JSON.stringify([rule.host, rule.ports]), rule]));
  return [...byText.values()];
}

function registryDraft(name: NetMode, text: string): RuleDraft {
  const { host, ports } = parseHostPattern(text);
  return draft(name, host, ports ?? WEB);
}

function draft(name: NetMode, host: string, ports: readonly PortRange[]): RuleDraft {
  return { verdict: "allow", host, ports, methods: null, paths: null, source: { kind: "preset", name } };
}
