/** A certificate that the operator has given, with its key; read again when the files change, as with every renewal. */
import { readFileSync, statSync } from "node:fs";
import { createSecureContext, type SecureContext } from "node:tls";
import type { GatewayTls } from "../../gateway/gateway.ts";
import { SbxError } from "../../runtime/errors.ts";
import { failureText, type ServerLog } from "../server-log.ts";

/** Between two looks, `ms`. */
const LOOK_MS = 5_000;
/** A group may read keys: Debian's `ssl-cert` does. */
const OPEN_TO_OTHERS = 0o027;

export interface CertificateFiles {
  certificate: string;
  key: string;
}

export class GivenCertificate implements GatewayTls, Disposable {
  readonly #files: CertificateFiles;
  readonly #log: ServerLog;
  readonly #timer: NodeJS.Timeout;
  #context: SecureContext;
  #stamp: string;

  /** @throws SbxError `config_invalid` where the two are not what TLS takes */
  constructor(files: CertificateFiles, log: ServerLog, lookMs = LOOK_MS) {
    this.#files = files;
    this.#log = log;
    this.#stamp = stampOf(files);
    this.#context = load(files);
    this.#timer = setInterval(() => this.#look(), lookMs).unref();
  }

  contextFor(): SecureContext {
    return this.#context;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  /** While the two do not fit, as between one file's replacement and the other's, what there was goes on. */
  #look(): void {
    const stamp = stampOf(this.#files);
    if (stamp === this.#stamp) return;
    this.#stamp = stamp;
    try {
      this.#context = load(this.#files);
      this.#log.write("info", "gateway.certificate");
    } catch (error) {
      this.#log.write("error", "gateway.certificate", { error: failureText(error) });
    }
  }
}

function load({ certificate, key }: CertificateFiles): SecureContext {
  try {
    requireClosed(key);
    return createSecureContext({
      cert: readFileSync(certificate),
      key: readFileSync(key),
      minVersion: "TLSv1.2",
    });
  } catch (cause) {
    if (cause instanceof SbxError) throw cause;
    throw new SbxError("config_invalid", `the gateway cannot use the certificate ${certificate} with ${key}`, {
      cause,
      hint: "see docs/control-plane.md",
    });
  }
}

function requireClosed(key: string): void {
  if ((statSync(key).mode & OPEN_TO_OTHERS) === 0) return;
  throw new SbxError("config_invalid", `the gateway's key ${key} can be read by all, or changed by others`, {
    hint: `chmod 640 ${key}`,
  });
}

function stampOf({ certificate, key }: CertificateFiles): string {
  return [certificate, key]
    .map((file) => {
      const stats = statSync(file, { throwIfNoEntry: false });
      return stats === undefined ? "none" : `${stats.ino} ${stats.size} ${stats.mtimeMs} ${stats.mode}`;
    })
    .join(" ");
}
