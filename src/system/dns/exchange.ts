import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { createConnection, isIPv6 } from "node:net";
import { urlHost } from "../ip-address.ts";
import {
  answerFrom,
  type DnsMessage,
  type DnsQuestion,
  type DnsType,
  isTruncated,
  questionBytes,
} from "./message.ts";

export interface DnsServer {
  /** An IP address. */
  readonly address: string;
  readonly port: number;
}

/** "192.0.2.1", with the port if it is not 53. */
export const describeServer = ({ address, port }: DnsServer) =>
  port === 53 ? address : `${urlHost(address)}:${port}`;

/** The reply of one server: a message, no reply, only malformed replies, or not reachable. */
export type Reply = DnsMessage | "silent" | "garbled" | "unreachable";

export interface RetryOptions {
  /** Time-out of one attempt in milliseconds. */
  readonly timeout: number;
  /** The number of attempts before a server counts as silent. */
  readonly tries: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Queries one server: over UDP, with retries, and over TCP when the reply was truncated (RFC 1035, RFC 7766). Replies
 * from other addresses or to other queries are ignored. Rejects only with the signal's reason.
 */
export async function exchange(
  server: DnsServer,
  asked: { readonly name: string; readonly type: DnsType; readonly recurse: boolean },
  { timeout, tries, signal }: RetryOptions,
): Promise<Reply> {
  let reply: Reply = "silent";
  for (let attempt = 0; attempt < tries; attempt++) {
    signal?.throwIfAborted();
    // A new socket has a new port, which makes it harder to forge a reply.
    const question = { ...asked, id: randomInt(0x10000) };
    const first = await overUdp(server, question, timeout, signal);
    signal?.throwIfAborted();
    reply = first === "cut-off" ? await overTcp(server, question, timeout, signal) : first;
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
      if (isTruncated(bytes, question)) {
        done("cut-off");
        return;
      }
      const message = read(bytes, question);
      if (message === "garbled") heard = message;
      else if (message) done(message);
    });
    // On a connected socket the kernel delivers only datagrams from that address and port.
    const connected = (error?: Error) => {
      // Node passes the error of a missing route to this callback; the socket cannot be used then.
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
