/** The network's part of the supervisor's socket (src/protocol/net-calls.ts). */
import {
  checkCall,
  MAX_NET_BODY_BYTES,
  MAX_SECRETS_BODY_BYTES,
  NET_CHECK_TARGET,
  NET_DENIED_TARGET,
  NET_RULES_TARGET,
  NET_TARGET,
  rulesCall,
  SECRETS_TARGET,
  secretsCall,
  type CheckAnswer,
  type CheckCall,
  type NetDenial,
  type NetView,
  type RulesAnswer,
  type RulesCall,
  type SecretsAnswer,
  type SecretsCall,
} from "../../protocol/net-calls.ts";
import type { DoorTable } from "../door-http.ts";

/** The network of a sandbox, as its owner may look at it and change it. Failures are SbxErrors. */
export interface NetworkControl {
  setSecrets(call: SecretsCall): SecretsAnswer | Promise<SecretsAnswer>;
  view(): Promise<NetView>;
  /** Does not open the path: asked after every command. */
  readonly denied: readonly NetDenial[];
  check(call: CheckCall): Promise<CheckAnswer>;
  changeRules(call: RulesCall): RulesAnswer | Promise<RulesAnswer>;
}

export const NETWORK_CALLS: DoorTable<NetworkControl> = {
  routes: {
    [SECRETS_TARGET]: {
      PUT: {
        maxBytes: MAX_SECRETS_BODY_BYTES,
        answer: (control, { body }) => control.setSecrets(secretsCall().parse(body)),
      },
    },
    [NET_TARGET]: { GET: { answer: (control) => control.view() } },
    [NET_DENIED_TARGET]: { GET: { answer: (control) => control.denied } },
    [NET_CHECK_TARGET]: {
      POST: { maxBytes: MAX_NET_BODY_BYTES, answer: (control, { body }) => control.check(checkCall().parse(body)) },
    },
    [NET_RULES_TARGET]: {
      POST: {
        maxBytes: MAX_NET_BODY_BYTES,
        answer: (control, { body }) => control.changeRules(rulesCall().parse(body)),
      },
    },
  },
};
