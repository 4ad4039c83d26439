import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { createConnection, isIPv6 } from "node:net";
import {
  answerFrom,
  type DnsMessage,
  type DnsQuestion,
  type DnsType,
  isCutOff,
  questionBytes,
} from "./message.ts";

export interface DnsServer {
  /** An IP address. */
  readonly address: string;
  readonly port: number;
}

/** "192.0.2.1", with the port where it is not the usual one. */
export const serverText = ({ address, port }: DnsServer) =>
  port === 53 ? address : address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;

/** What one server said: an answer; nothing; only what cannot be read; or that nobody listens there. */
export type Reply = DnsMessage | "silent" | "garbled" | "unreachable";

export interface Patience {
  /** Milliseconds that one try may take. */
  readonly wait: number;
  /** How often one server is asked before it counts as silent. */
  readonly tries: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Asks one server: by UDP, again when nothing comes, and by TCP when the answer was cut off (RFC 1035, RFC 7766). What
 * comes from elsewhere, or answers another question, is overlooked. Rejects only with the signal's reason.
 */
export async function exchange(
  server: DnsServer,
  asked: { readonly name: string; readonly type: DnsType; readonly recurse: boolean },
  { wait, tries, signal }: Patience,
): Promise<Reply> {
  let reply: Reply = "silent";
  for (let attempt = 0; attempt < tries; attempt++) {
    // A new socket has a new port: together with the number it is what a forger would have to guess.
    const question = { ...asked, id: randomInt(0x10000) };
    const first = await overUdp(server, question, wait, signal);
    signal?.throwIfAborted();
    reply = first === "cut-off" ? await overTcp(server, question, wait, signal) : first;
    signal?.throwIfAborted();
    if (typeof reply === "object") break;
  }
  return reply;
}

function overUdp(
  { address, port }: DnsServer,
  question: DnsQuestion,
  wait: number,
  signal: AbortSignal | undefined,
): Promise<Reply | "cut-off"> {
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(address) ? "udp6" : "udp4");
    let heard: Reply = "silent";
    const done = (reply: Reply | "cut-off") => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
      socket.removeAllListeners().on("error", () => undefined);
      socket.close();
      resolve(reply);
    };
    const stop = () => {
      done(heard);
    };
    const timer = setTimeout(stop, wait);
    signal?.addEventListener("abort", stop, { once: true });
    socket.on("error", () => {
      done("unreachable");
    });
    socket.on("message", (bytes) => {
      if (isCutOff(bytes, question)) {
        done("cut-off");
        return;
      }
      const message = read(bytes, question);
      if (message === "garbled") heard = message;
      else if (message) done(message);
    });
    // Once connected, the kernel hands us only what comes from that address and port.
    const connected = (error?: Error) => {
      // Node hands a missing route to this callback, and the socket is then none that can be sent on.
      if (error) done("unreachable");
      else socket.send(questionBytes(question));
    };
    socket.connect(port, address, connected);
  });
}

function overTcp(
  { address, port }: DnsServer,
  question: DnsQuestion,
  wait: number,
  signal: AbortSignal | undefined,
): Promise<Reply> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: address, port });
    let heard = Buffer.alloc(0);
    const done = (reply: Reply) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
      socket.destroy();
      resolve(reply);
    };
    const stop = () => {
      done("silent");
    };
    const timer = setTimeout(stop, wait);
    signal?.addEventListener("abort", stop, { once: true });
    socket.on("error", () => {
      done("unreachable");
    });
    socket.on("close", () => {
      done("garbled");
    });
    socket.on("data", (chunk: Buffer) => {
      heard = Buffer.concat([heard, chunk]);
      if (heard.length < 2 || heard.length < 2 + heard.readUInt16BE(0)) return;
      done(read(heard.subarray(2, 2 + heard.readUInt16BE(0)), question) ?? "garbled");
    });
    socket.on("connect", () => {
      const bytes = questionBytes(question);
      const length = Buffer.alloc(2);
      length.writeUInt16BE(bytes.length);
      socket.write(Buffer.concat([length, bytes]));
    });
  });
}

function read(bytes: Buffer, question: DnsQuestion): DnsMessage | "garbled" | undefined {
  try {
    return answerFrom(bytes, question);
  } catch {
    return "garbled";
  }
}
