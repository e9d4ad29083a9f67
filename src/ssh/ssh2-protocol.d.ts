/** What this project uses of ssh2's inside (version 1.17.0, which package.json pins): its types name none of it. */
declare module "ssh2/lib/protocol/Protocol.js" {
  export interface AlgorithmsOfOneDirection {
    cipher: string[];
    mac: string[];
    compress: string[];
    lang: string[];
  }

  export interface ProtocolOptions {
    server: true;
    ident: string;
    /** Parsed private keys by their type. */
    hostKeys: Record<string, unknown>;
    offer: { kex: string[]; serverHostKey: string[]; cs: AlgorithmsOfOneDirection; sc: AlgorithmsOfOneDirection };
    onWrite: (data: Buffer) => void;
    onError: (error: Error) => void;
    onHandshakeComplete: () => void;
    messageHandlers: {
      DISCONNECT: () => void;
      SERVICE_REQUEST: (protocol: Protocol, service: string) => void;
    };
  }

  export default class Protocol {
    constructor(options: ProtocolOptions);
    start(): void;
    parse(chunk: Buffer, from: number, to: number): void;
    disconnect(reason: number): void;
    cleanup(): void;
    /** Called with each decrypted payload after a key exchange. */
    _onPayload: (payload: Buffer) => boolean | undefined;
    /** Present while keys are exchanged. */
    readonly _kexinit: Buffer | undefined;
    readonly _kex: { readonly sessionID: Buffer } | undefined;
    readonly _cipher: { allocPacket(payloadBytes: number): Buffer; encrypt(packet: Buffer): void };
  }
}

declare module "ssh2/lib/protocol/keyParser.js" {
  export interface ParsedKey {
    readonly type: string;
    isPrivateKey(): boolean;
    /** As it travels in messages. */
    getPublicSSH(): Buffer;
  }

  const keyParser: { parseKey(text: string): ParsedKey | Error };
  export default keyParser;
}
