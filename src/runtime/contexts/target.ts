/** Where a runtime is: this machine, or a control plane. What `runtime/select.ts` opens a runtime from. */

/** The context that is always there: this machine. */
export const LOCAL_CONTEXT = "local";

export interface LocalTarget {
  kind: "local";
  name: typeof LOCAL_CONTEXT;
}

export interface RemoteTarget extends Endpoints {
  kind: "remote";
  /** Of the context; made of the address where the user gave only that. */
  name: string;
  token: string;
}

/** Whom a token is sent to. */
export interface Endpoints {
  /** `https://HOST[:PORT]`, of the API. */
  endpoint: string;
  /** Of the service that sandboxes are reached at, where that is another one. */
  sandboxEndpoint: string | null;
  /** Sent along with the token: one that is for several organisations needs it. */
  organisation: string | null;
}

export type RuntimeTarget = LocalTarget | RemoteTarget;

export const LOCAL_TARGET: LocalTarget = { kind: "local", name: LOCAL_CONTEXT };
