/** Whether a ClientHello may go where its connection was opened for: no domain fronting, no secret's host unread. */
import { isIP } from "node:net";
import type { ConnectionTarget, Decision } from "../../policy/spec.ts";
import type { ClientHello } from "../tls/client-hello.ts";
import type { Denial } from "./flow-log.ts";

/** The parts of {@link Policy} that the router asks. */
export interface ConnectionJudge {
  decideConnection(target: ConnectionTarget): Decision;
  /** Of a target that is allowed. */
  decideAddress(target: ConnectionTarget, address: string): Decision;
}

export interface HelloQuestions {
  judge: ConnectionJudge;
  mustRead: (target: ConnectionTarget) => boolean;
}

/**
 * For a connection that is tunnelled.
 *
 * What is not in clear cannot be checked. A guest that dials an address and names nobody is judged by the address alone,
 * so under `--net open` a rule that denies a name does not keep it from that name's servers. Behind the outer name of an
 * encrypted ClientHello there may be any other one; it takes a server that answers for both, as a CDN does.
 *
 * @returns why it must not be, or `null`
 */
export function checkTunnelledHello(
  hello: ClientHello,
  target: ConnectionTarget,
  questions: HelloQuestions,
): Denial | null {
  const { serverName } = hello;
  if (serverName === null || serverName === target.host) return null;
  if (isIP(target.host) === 0) return mismatch(hello, serverName, target);
  // The guest found the address by itself, so the name in the hello is all that there is to go by.
  const named = { host: serverName, port: target.port };
  const decision = questions.judge.decideConnection(named);
  if (decision.verdict === "deny" && decision.rule !== null) return decision;
  if (questions.mustRead(named)) {
    const why = `connections to ${serverName} have to be read, which needs its name to be looked up here`;
    return denial(`${why}; the guest dialled ${target.host}`);
  }
  return null;
}

/** For a connection that will be read. @returns why it cannot be, or `null` */
export function checkReadHello(hello: ClientHello, target: ConnectionTarget): Denial | null {
  const { serverName } = hello;
  if (serverName === target.host) return null;
  if (serverName !== null) return mismatch(hello, serverName, target);
  if (isIP(target.host) !== 0) return null;
  return denial(
    `the TLS handshake names no server; connections to ${target.host} have to be read, which needs its name`,
  );
}

function mismatch({ ech }: ClientHello, serverName: string, target: ConnectionTarget): Denial {
  const hidden = ech ? ", with another name encrypted" : "";
  return denial(`the TLS handshake is for ${serverName}${hidden}, but the connection was opened for ${target.host}`);
}

function denial(reason: string): Denial {
  return { rule: null, reason, fix: null };
}
