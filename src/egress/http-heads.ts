/** A request and a response without their bodies, as they pass from step to step between the guest and its upstream. */

/** Field lines in order. Names are as they were sent (HTTP/1.1) or in lower case (HTTP/2); values are latin1 text. */
export type FieldLines = readonly (readonly [name: string, value: string])[];

export interface RequestHead {
  method: string;
  scheme: "http" | "https";
  /** The flow's name, which SNI, `Host` and `:authority` were found to agree with; an address for a flow without one. */
  host: string;
  port: number;
  /** Path and query, beginning with `/`; `*` for OPTIONS. */
  target: string;
  /** Without pseudo-headers, hop-by-hop fields and `Host`. */
  fields: FieldLines;
}

export interface ResponseHead {
  status: number;
  /** Without pseudo-headers and hop-by-hop fields. */
  fields: FieldLines;
}

/** How a request came in: `1.1` or `2` on the guest's leg. */
export type HttpVersion = "1.0" | "1.1" | "2";
