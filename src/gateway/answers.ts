/**
 * What the gateway itself answers: nothing of use to whoever does not know a URL, and an explanation to who does. Pages
 * for browsers, a line of JSON for programs. None of the text is the guest's.
 */
import { STATUS_CODES } from "node:http";

export type Trouble = "nothing-listens" | "no-answer" | "closed-early" | "paused" | "busy" | "not-up";

/** What the page may tell. */
export interface Subject {
  /** Of the sandbox, as its user would name it. */
  sandbox: string;
  /** Of the guest. */
  port: number;
}

/** In place of a subject: who asks is not the sandbox's user, and is told nothing of it. */
export const ANONYMOUS = "anonymous";

/** What a page of the gateway asks it with: answered when the server is there, by the gateway alone. */
export const WAIT_FIELD = "x-sbx-wait";
const RETRY_SECONDS = 2;

interface Wording {
  status: number;
  /** Stable: programs may match it. */
  code: string;
  title: string;
  text: (subject: Subject) => string;
  /** For everybody. */
  plainText: string;
  /** A command that would change it. */
  command?: (subject: Subject) => string;
  reloads: boolean;
}

const WORDINGS: Readonly<Record<Trouble, Wording>> = {
  "nothing-listens": {
    status: 503,
    code: "nothing_listens",
    title: "Nothing listens yet",
    text: ({ sandbox, port }) => `No server in the sandbox ${sandbox} listens on port ${port}.`,
    plainText: "The server behind this address does not run yet.",
    command: ({ sandbox, port }) => `sbx exec ${sandbox} -- python3 -m http.server ${port}`,
    reloads: true,
  },
  paused: {
    status: 503,
    code: "sandbox_paused",
    title: "The sandbox is paused",
    text: ({ sandbox }) => `The sandbox ${sandbox} stands still.`,
    plainText: "What is behind this address stands still.",
    command: ({ sandbox }) => `sbx resume ${sandbox}`,
    reloads: true,
  },
  "no-answer": {
    status: 504,
    code: "no_answer",
    title: "No answer",
    text: ({ sandbox, port }) => `The sandbox ${sandbox} did not take a connection to its port ${port} in time.`,
    plainText: "The server behind this address did not take a connection in time.",
    command: ({ sandbox }) => `sbx inspect ${sandbox}`,
    reloads: true,
  },
  "not-up": {
    status: 503,
    code: "not_up",
    title: "It does not come up",
    text: ({ sandbox }) => `What should answer in the sandbox ${sandbox} does not come up.`,
    plainText: "What should answer at this address does not come up. It is tried again from time to time.",
    reloads: true,
  },
  "closed-early": {
    status: 502,
    code: "closed_early",
    title: "The server closed the connection",
    text: ({ sandbox, port }) => `The server on port ${port} of the sandbox ${sandbox} hung up without an answer.`,
    plainText: "The server behind this address hung up without an answer.",
    reloads: false,
  },
  busy: {
    status: 503,
    code: "too_many_connections",
    title: "Too many connections",
    text: ({ sandbox }) => `The sandbox ${sandbox} has as many connections as it may have.`,
    plainText: "There are as many connections to this address as there may be.",
    reloads: true,
  },
};

/** An explanation. The connection is over behind it. */
export function explain(
  trouble: Trouble,
  subject: Subject | typeof ANONYMOUS,
  request: { accept: string; method: string },
): Buffer {
  const wording = WORDINGS[trouble];
  const extra = wording.reloads ? { "retry-after": String(RETRY_SECONDS) } : {};
  if (!/\btext\/html\b/.test(request.accept)) {
    const text = JSON.stringify({ code: wording.code, message: textOf(wording, subject) });
    return answer(wording.status, request.method, "application/json", `${text}\n`, extra);
  }
  const headers = { ...extra, "content-security-policy": PAGE_POLICY };
  return answer(wording.status, request.method, "text/html; charset=utf-8", page(wording, subject), headers);
}

/** For who does not know a URL, or does not speak HTTP as it is spoken here. */
export function refuse(status: number): Buffer {
  return answer(status, "GET", "text/plain", `${STATUS_CODES[status] ?? "Refused"}\n`);
}

/** A page that waits asked whether it is time to reload: 204 yes, 503 not yet. */
export function answerWaiting(isThere: boolean): Buffer {
  return answer(isThere ? 204 : 503, "GET", "text/plain", "");
}

/** A page of another origin may not open a WebSocket here. */
export function refuseOrigin(): Buffer {
  const message = "a page of another site cannot open a WebSocket here";
  return answer(403, "GET", "application/json", `${JSON.stringify({ code: "foreign_origin", message })}\n`);
}

function answer(
  status: number,
  method: string,
  type: string,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): Buffer {
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Refused"}`,
    ...(status === 204 ? [] : [`content-type: ${type}`, `content-length: ${Buffer.byteLength(body)}`]),
    "cache-control: no-store",
    "x-content-type-options: nosniff",
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    "connection: close",
  ];
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n${method === "HEAD" ? "" : body}`);
}

/** Asks until the server is there. The gateway holds the question, so this is seldom; `hidden` tabs ask no more. */
const WAITING_SCRIPT = `
const wait = async () => {
  for (;;) {
    const pause = new Promise((done) => setTimeout(done, 1000));
    if (!document.hidden) {
      const answer = await fetch(location.href, { headers: { "${WAIT_FIELD}": "1" }, cache: "no-store" }).catch(() => null);
      if (answer?.status === 204) return location.reload();
    }
    await pause;
  }
};
wait();`;
const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
main { max-width: 38rem; margin: 15vh auto; padding: 0 1.5rem }
h1 { font-size: 1.4rem } code { display: block; padding: .6rem .8rem; border-radius: .4rem; background: #8882 }
small { opacity: .7 }`;
const PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'";

function textOf({ text, plainText }: Wording, subject: Subject | typeof ANONYMOUS): string {
  return subject === ANONYMOUS ? plainText : text(subject);
}

function page(wording: Wording, subject: Subject | typeof ANONYMOUS): string {
  const { title, reloads } = wording;
  const command = subject === ANONYMOUS ? undefined : wording.command?.(subject);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${title}</title>
<meta name="viewport" content="width=device-width"><meta name="referrer" content="no-referrer">
${reloads ? `<noscript><meta http-equiv="refresh" content="${RETRY_SECONDS}"></noscript>\n` : ""}<style>${STYLE}</style></head>
<body><main><h1>${title}</h1><p>${escapeHtml(textOf(wording, subject))}</p>
${command === undefined ? "" : `<p>For example:</p><code>${escapeHtml(command)}</code>\n`}${
    reloads ? "<p><small>This page loads itself again as soon as that has changed.</small></p>\n" : ""
  }</main>${reloads ? `<script>${WAITING_SCRIPT}</script>` : ""}</body></html>
`;
}

function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
