/** The network of a sandbox as text: rules, verdicts, what was changed. The table escapes what goes through it. */
import { renderFix, renderSource, renderTarget } from "../../policy/render.ts";
import { renderSecretHost } from "../../policy/secret-host.ts";
import type { Decision, NetMode, Verdict } from "../../policy/spec.ts";
import type { CheckAnswer, NetView, RulesAnswer } from "../../runtime/network.ts";
import { escapeLine } from "../output/escape.ts";
import type { Palette } from "../output/palette.ts";
import { renderFields, renderTable, type Column } from "../output/table.ts";
import { wrapWords } from "../output/wrap.ts";

interface Display {
  palette: Palette;
  /** Columns of the terminal, if it is one. */
  width: number | undefined;
}

const paintVerdict = (palette: Palette, cell: string): string =>
  cell.startsWith("allow") ? palette.good(cell) : palette.bad(cell);

const RULE_COLUMNS: readonly Column[] = [
  { title: "ID" },
  { title: "VERDICT", paint: paintVerdict },
  { title: "RULE", minWidth: 20 },
  { title: "SOURCE", minWidth: 12 },
];

const SECRET_COLUMNS: readonly Column[] = [
  { title: "SECRET", minWidth: 10 },
  { title: "HOSTS", minWidth: 15 },
  { title: "VALUE" },
];

/** What becomes of hosts that no rule names. */
const REST: Readonly<Record<NetMode, readonly [verdict: Verdict, what: string]>> = {
  none: ["deny", "everything else"],
  balanced: ["deny", "everything else"],
  open: ["allow", "every other public host"],
};

/** All of `sbx net show`. */
export function renderNetwork(view: NetView, display: Display): string {
  const [verdict, what] = REST[view.mode];
  const rows = view.rules.map((rule) => [rule.id, rule.verdict, rule.text, renderSource(rule.source)]);
  const rules = renderTable(RULE_COLUMNS, [...rows, ["-", verdict, what, `--net ${view.mode}`]], display);
  const warnings = view.rules.flatMap(({ id, warning }) => (warning === null ? [] : [`${id} ${warning}`]));
  const parts = [rules, warnings.map((text) => warningLine(text, display)).join("\n")];
  if (view.secrets.length > 0) {
    const secrets = view.secrets.map(({ name, hosts, hasValue }) => [
      name,
      hosts.map(renderSecretHost).join(", "),
      hasValue ? "there" : "missing",
    ]);
    parts.push(renderTable(SECRET_COLUMNS, secrets, display));
  }
  parts.push(renderFields(extraFields(view), display.palette));
  return parts.filter((part) => part !== "").join("\n\n");
}

function extraFields({ inspect, hook, onLeak, secrets, counters, mode, rules }: NetView): [string, string][] {
  const { connections, requests, denied, leaks } = counters;
  const scripted = rules.some(({ kind }) => kind === "expression");
  const leaked = leaks === 0 ? "" : `, ${leaks} with a placeholder for another host`;
  return [
    ["Inspect", inspect ? "every connection that can be read" : ""],
    ["Hook", hook === null ? "" : `${hook.path} (${hook.detail ?? hook.state})`],
    ["On leak", secrets.length > 0 ? onLeak : ""],
    ["Rest", scripted && mode !== "open" ? "rules in JavaScript are asked about what no other rule names" : ""],
    ["So far", `${count(connections, "connection")}, ${count(requests, "request")}; ${denied} denied${leaked}`],
  ];
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

function warningLine(text: string, { palette, width = Number.POSITIVE_INFINITY }: Display): string {
  const lines = wrapWords(escapeLine(text), width - 9);
  return lines.map((line, at) => `${at === 0 ? palette.warning("warning:") : "        "} ${line}`).join("\n");
}

const CARRIED: Readonly<Record<NonNullable<CheckAnswer["carried"]>, string>> = {
  tunnel: "end to end: sbx does not see what is in it",
  intercept: "read by sbx, with a certificate of the sandbox's own authority",
  plain: "read by sbx: it is not encrypted",
};

/** All of `sbx net check`. */
export function renderCheck(what: string, answer: CheckAnswer, sandbox: string, { palette }: Display): string {
  const { decision, carried, secrets } = answer;
  const allowed = decision.verdict === "allow";
  const title = allowed ? palette.good("allowed") : palette.bad("denied");
  const fields = renderFields(
    [
      ["rule", ruleText(decision)],
      ["why", decision.reason],
      ["carried", carried === null ? "" : CARRIED[carried]],
      ["secrets", secrets.join(", ")],
      ["try", decision.fix === null ? "" : renderFix(decision.fix, sandbox)],
    ],
    palette,
  );
  return `${title} ${escapeLine(what)}\n${fields.replaceAll(/^/gm, "  ")}`;
}

/** Such as `r3 *.example.com:443 (--allow-net)`. */
function ruleText({ rule }: Decision): string {
  return rule === null ? "" : `${rule.id} ${rule.text} (${renderSource(rule.source)})`;
}

/** What holds after `sbx net allow` or `sbx net deny`. */
export function renderChange({ rules, stillDenied }: RulesAnswer, { palette, width }: Display): string {
  const lines = rules.map(({ verdict, text, id }) => `${paintVerdict(palette, verdict)} ${escapeLine(text)} (${id})`);
  const warnings = rules.flatMap(({ id, warning }) => (warning === null ? [] : [`${id} ${warning}`]));
  const denied = stillDenied.map(({ host, decision }) => `${host} is still denied: ${decision.reason}`);
  return [...lines, ...[...warnings, ...denied].map((text) => warningLine(text, { palette, width }))].join("\n");
}

/** A host with its port, or alone. */
export function targetText(host: string, port: number | null | undefined): string {
  return port === null || port === undefined ? host : renderTarget({ host, port });
}
