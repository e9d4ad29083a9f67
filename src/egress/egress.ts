/**
 * The way out of a sandbox, put together: the network stack on the guest's card, the resolver, the router of
 * connections, whoever reads the requests that have to be read, and what all of them ask: policy, secrets, hooks.
 */
import { matchesHost } from "../policy/host-pattern.ts";
import type { ProxySettings } from "../policy/proxy-settings.ts";
import type { ConnectionTarget, Decision, PolicySpec, RequestTarget, SecretHost } from "../policy/spec.ts";
import type { TrustedRoot } from "../protocol/agent-calls.ts";
import type { CheckAnswer, CheckCall, NetView, RulesAnswer, RulesCall } from "../protocol/net-calls.ts";
import type { EgressLaunch } from "../protocol/net-launch.ts";
import { MAX_FORMER_PLACEHOLDERS, type NetworkPast, NO_PAST } from "../protocol/network-past.ts";
import { SbxError } from "../runtime/errors.ts";
import type { AuditSink } from "./audit-event.ts";
import { decideRequest } from "./decisions.ts";
import { Resolver } from "./dns/resolver.ts";
import { SyntheticNames } from "./dns/synthetic-names.ts";
import { DroppedLog } from "./dropped-log.ts";
import { createFlowRouter, type FlowRouter } from "./flows/flow-router.ts";
import { addedRoots, trustedRoot, TRUST_VARIABLES } from "./guest-trust.ts";
import type { Hooks } from "./hooks/hooks.ts";
import { startHooks } from "./hooks/start-hooks.ts";
import { createInterceptor, type Interceptor } from "./http/interceptor.ts";
import { LivePolicy } from "./live-policy.ts";
import { NET_ADDRESSES } from "./net/addresses.ts";
import { checkCall } from "./net-check.ts";
import { OwnAddresses } from "./own-addresses.ts";
import { readsAnything } from "./reads-anything.ts";
import { createSecrets } from "./secrets/create-secrets.ts";
import type { Secrets } from "./secrets/secrets.ts";
import { createAuthority, type Authority } from "./tls/authority.ts";
import { createUpstream } from "./upstream/create-upstream.ts";
import type { LiveUpstream } from "./upstream/upstream.ts";
import type { WaitingStack } from "./waiting-stack.ts";

/** What only comes over the supervisor's socket. */
export interface EgressSettings {
  values: Map<string, string>;
  proxy: ProxySettings | null;
  extraRootsPem: readonly string[];
}

export interface EgressOptions {
  /** The other end of the guest's network card. */
  stack: WaitingStack;
  launch: EgressLaunch;
  settings: EgressSettings;
  sandbox: { id: string; name: string | null };
  audit: AuditSink;
  /** A line for the supervisor's log. */
  log: (line: string) => void;
  hookHost: { nodePath: string; scriptPath: string };
  /** What the guest remembers, where it is a copy of another one. */
  past?: NetworkPast;
  signal?: AbortSignal;
}

export interface Egress extends AsyncDisposable {
  /** What the guest's programs shall trust beside its own roots. */
  readonly roots: readonly TrustedRoot[];
  /** For the environment of the guest's processes: placeholders, and where roots are. */
  readonly environment: ReadonlyMap<string, string>;
  setValue(name: string, value: string): void;
  view(): Omit<NetView, "counters" | "denied"> & { openFlows: number };
  check(call: CheckCall): Promise<CheckAnswer>;
  changeRules(call: RulesCall): RulesAnswer;
  /** What a copy of the guest would remember, but for its connections. */
  memories(): Omit<NetworkPast, "connections">;
  /** The policy as it is now. */
  readonly policy: PolicySpec;
}

/**
 * Opens it. Values of secrets and what else is in the settings must be there.
 *
 * @throws SbxError `config_invalid` for a hook or a root that cannot be used, `usage` for a rule that does not parse
 */
export async function openEgress(options: EgressOptions): Promise<Egress> {
  const { launch, sandbox, log, hookHost, signal } = options;
  const own = new OwnAddresses();
  const policy = new LivePolicy(launch.policy, options.audit, (address) => own.has(address));
  const hooks = await startHooks({
    modulePath: launch.hookPath,
    expressions: launch.policy.expressions,
    sandbox: { id: sandbox.id, name: sandbox.name ?? sandbox.id },
    ...hookHost,
    log,
    ...(signal === undefined ? {} : { signal }),
  });
  try {
    return new SandboxEgress(options, policy, hooks);
  } catch (error) {
    await hooks[Symbol.asyncDispose]();
    throw error;
  }
}

class SandboxEgress implements Egress {
  readonly roots: readonly TrustedRoot[];
  readonly environment: ReadonlyMap<string, string>;
  readonly #launch: EgressLaunch;
  readonly #audit: AuditSink;
  readonly #policy: LivePolicy;
  readonly #hooks: Hooks;
  readonly #secrets: Secrets;
  readonly #interceptor: Interceptor;
  readonly #upstream: LiveUpstream;
  readonly #resolver: Resolver;
  readonly #router: FlowRouter;
  readonly #stack: WaitingStack;
  readonly #names: SyntheticNames;
  readonly #past: NetworkPast;

  constructor(options: EgressOptions, policy: LivePolicy, hooks: Hooks) {
    const { launch, settings, sandbox, audit } = options;
    this.#launch = launch;
    this.#audit = audit;
    this.#policy = policy;
    this.#hooks = hooks;
    const past = (this.#past = options.past ?? NO_PAST);
    this.#secrets = createSecrets({
      grants: launch.secrets,
      former: past.placeholders,
      onLeak: launch.onLeak,
      // Whoever carries a request tells its leaks, with what became of it.
      report: () => undefined,
    });
    for (const [name, value] of settings.values) this.#secrets.setValue(name, value);
    const authority = readsAnything(launch) ? createAuthority() : null;
    const own = authority === null ? [] : [trustedRoot("sbx-sandbox", authority.certificatePem)];
    this.roots = [...own, ...addedRoots(settings.extraRootsPem)];
    this.environment = this.#makeEnvironment();
    const upstream = (this.#upstream = createUpstream({
      decideAddress: (target, address) => policy.current.decideAddress(target, address),
      overrides: launch.resolve,
      proxy: settings.proxy,
      extraRootsPem: settings.extraRootsPem,
    }));
    this.#interceptor = createInterceptor({
      ...{ secrets: this.#secrets, hooks, upstream, audit },
      secureContext: (host) => requireAuthority(authority).contextFor(host),
      decide: (target, signal) => this.#decideRequest(target, signal),
      onLeak: launch.onLeak,
      sandboxRef: sandbox.name ?? sandbox.id,
    });
    const names = (this.#names = new SyntheticNames({ known: past.names }));
    this.#resolver = new Resolver({ decideName: (name) => policy.current.decideName(name), names, audit });
    this.#router = createFlowRouter({
      ...{ names, upstream, audit, interceptor: this.#interceptor },
      judge: () => policy.current,
      mustRead: (target) => this.#mustRead(target),
      gateway: [NET_ADDRESSES.gatewayIpv4, NET_ADDRESSES.gatewayIpv6],
      dnsOverTcp: (stream) => void this.#resolver.serve(stream),
    });
    const dropped = new DroppedLog(audit);
    // Last: from here on the guest is heard.
    this.#stack = options.stack;
    this.#stack.serve({
      onFlow: (flow) => this.#router.onFlow(flow),
      onDatagram: (datagram) => void this.#resolver.answerDatagram(datagram),
      onDropped: (kind, target) => dropped.note(kind, target),
    });
  }

  setValue(name: string, value: string): void {
    this.#secrets.setValue(name, value);
    this.#audit({ time: Date.now(), kind: "change", verdict: "allow", secrets: [name], reason: "value replaced" });
  }

  view(): ReturnType<Egress["view"]> {
    const { policy, onLeak, inspect, hookPath } = this.#launch;
    const { trouble } = this.#hooks;
    return {
      mode: policy.mode,
      rules: this.#policy.describe(),
      secrets: this.#secrets.grants.map(({ name, hosts, placeholder }) => ({
        name,
        hosts,
        placeholder,
        hasValue: true,
      })),
      ...{ onLeak, inspect },
      hook:
        hookPath === null
          ? null
          : { path: hookPath, state: trouble === null ? ("running" as const) : ("failed" as const), detail: trouble },
      openFlows: this.#router.openFlows,
    };
  }

  async check(call: CheckCall): Promise<CheckAnswer> {
    return checkCall(call, {
      policy: this.#policy,
      decideRequest: (target, signal) => this.#decideRequest(target, signal),
      mustRead: (target) => this.#mustRead(target),
      secretsFor: (target) => this.#secretsFor(target),
      checkAddresses: (target, signal) => this.#upstream.check(target, signal),
    });
  }

  changeRules(call: RulesCall): RulesAnswer {
    const answer = this.#policy.change(call);
    this.#router.reconsider();
    // What the guest's connections share: those that are kept for later, and those of requests to a host that stays.
    this.#upstream.reconsider((target) => this.#policy.current.decideConnection(target));
    return answer;
  }

  get policy(): PolicySpec {
    return this.#policy.current.spec;
  }

  memories(): ReturnType<Egress["memories"]> {
    const own = this.#secrets.grants.map(({ name, placeholder }) => ({ secret: name, placeholder }));
    return {
      names: this.#names.list(),
      // The oldest go first: what still runs since then is a matter of luck by now.
      placeholders: [...this.#past.placeholders, ...own].slice(-MAX_FORMER_PLACEHOLDERS),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stack[Symbol.dispose]();
    this.#router[Symbol.dispose]();
    this.#interceptor.close();
    this.#resolver[Symbol.dispose]();
    await this.#hooks[Symbol.asyncDispose]();
  }

  #mustRead(target: ConnectionTarget): boolean {
    const { inspect } = this.#launch;
    if (inspect || this.#hooks.onRequestDefined || this.#hooks.onResponseDefined) return true;
    return this.#secrets.concerns(target) || this.#policy.current.readsRequests(target);
  }

  async #decideRequest(target: RequestTarget, signal: AbortSignal): Promise<Decision> {
    return decideRequest(this.#policy, this.#hooks, target, signal);
  }

  #secretsFor({ host, port, scheme }: ConnectionTarget & { scheme: "http" | "https" }): string[] {
    const belongs = (own: SecretHost): boolean =>
      own.scheme === scheme && (own.port === null || own.port === port) && matchesHost(own.host, host);
    return this.#secrets.grants.filter(({ hosts }) => hosts.some(belongs)).map(({ name }) => name);
  }

  #makeEnvironment(): Map<string, string> {
    const variables = new Map(this.roots.length === 0 ? [] : Object.entries(TRUST_VARIABLES));
    for (const { name, placeholder } of this.#secrets.grants) variables.set(name, placeholder);
    return variables;
  }
}

function requireAuthority(authority: Authority | null): Authority {
  if (authority === null)
    throw new SbxError("internal", "a connection is read in a sandbox where nothing is to be read");
  return authority;
}
