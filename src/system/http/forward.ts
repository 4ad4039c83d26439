import { randomBytes } from "node:crypto";
import { Agent, type IncomingMessage, request as requestPlain, type ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import { Agent as SecureAgent, request as requestSecure } from "node:https";
import { isIP } from "node:net";
import { pipeline } from "node:stream/promises";
import { bareHost } from "../ip-address.ts";

export type AnyRequest = IncomingMessage | Http2ServerRequest;
export type AnyResponse = ServerResponse | Http2ServerResponse;

/** The request goes to another server, and its response to the client. */
export interface ForwardReply {
  readonly kind: "forward";
  readonly origin: string;
  readonly path: string;
  /** Certificates in PEM that may sign the upstream's; undefined for those of the operating system. */
  readonly authorities?: string | undefined;
}

/** Milliseconds without any data while a request is forwarded; a long poll is silent for minutes. */
const FORWARD_TIMEOUT = 10 * 60_000;

/** Headers that belong to one connection (RFC 9110, section 7.6.1), and those that are written anew. */
const OWN_HEADERS = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
]);

type Respond = (request: AnyRequest, response: AnyResponse) => void;

/** What is replied instead of an upstream. */
interface Failures {
  /** It cannot be reached. */
  readonly unreachable: Respond;
  /** It is this server itself: the request came back. */
  readonly loop: Respond;
}

/** Passes requests on to other servers, over connections that are kept open. */
export class Forwarder {
  readonly #failures: Failures;
  readonly #agents = new Map<string, Agent | SecureAgent>();
  /** The name of this server in the Via header (RFC 9110, section 7.6.3), by which it knows a request that comes back. */
  readonly #name = `synlift-${randomBytes(9).toString("hex")}`;

  constructor(failures: Failures) {
    this.#failures = failures;
  }

  close(): void {
    for (const agent of this.#agents.values()) agent.destroy();
  }

  /** Passes a request on, with its escapes and its body as they come. Never rejects. */
  async forward(
    request: AnyRequest,
    response: AnyResponse,
    { origin, path, authorities }: ForwardReply,
  ): Promise<void> {
    if (request.headers.via?.includes(this.#name)) {
      this.#failures.loop(request, response);
      return;
    }
    const url = new URL(origin);
    const secure = url.protocol === "https:";
    const host = bareHost(url.hostname);
    const sent = (secure ? requestSecure : requestPlain)({
      host,
      port: url.port === "" ? (secure ? 443 : 80) : Number(url.port),
      method: request.method,
      path,
      agent: this.#agentFor(origin, authorities),
      headers: forwardedHeaders(request, url.host, this.#name),
      setDefaultHeaders: false,
      timeout: FORWARD_TIMEOUT,
      ...(secure && !isIP(host) ? { servername: host } : {}),
    });
    response.on("close", () => sent.destroy());
    sent.on("timeout", () => sent.destroy());
    const failed = () => {
      if (response.headersSent) response.destroy();
      else this.#failures.unreachable(request, response);
    };
    sent.on("response", (incoming) => {
      (response as ServerResponse).writeHead(
        incoming.statusCode ?? 502,
        passedOn(incoming, "stream" in request),
      );
      pipeline(incoming, response).catch(failed);
    });
    sent.on("error", failed);
    if (/100-continue/i.test(request.headers.expect ?? "")) response.writeContinue();
    try {
      await pipeline(request, sent);
    } catch {
      // Reported by `sent`, or the client went away.
      sent.destroy();
    }
  }

  #agentFor(origin: string, authorities: string | undefined): Agent | SecureAgent {
    const found = this.#agents.get(origin);
    if (found) return found;
    const options = { keepAlive: true, maxSockets: 1_000, maxFreeSockets: 50 };
    const agent = origin.startsWith("https:")
      ? new SecureAgent({
          ...options,
          ...(authorities === undefined ? {} : { ca: authorities }),
          minVersion: "TLSv1.2",
        })
      : new Agent(options);
    this.#agents.set(origin, agent);
    return agent;
  }
}

/** The request's headers for the upstream, in pairs, with repeated ones kept. */
function forwardedHeaders(request: AnyRequest, host: string, via: string): string[] {
  const dropped = namedIn(request.headers.connection);
  const kept: string[] = [];
  const { rawHeaders } = request;
  let length = false;
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!.toLowerCase();
    if (name.startsWith(":") || OWN_HEADERS.has(name) || dropped.has(name)) continue;
    if (["host", "x-forwarded-for", "x-forwarded-proto", "via", "expect"].includes(name)) continue;
    if (name === "content-length") length = true;
    kept.push(rawHeaders[index]!, rawHeaders[index + 1]!);
  }
  const hasBody = !length && (request.headers["transfer-encoding"] !== undefined || streamsBody(request));
  return [
    "Host",
    host,
    "X-Forwarded-For",
    clientOf(request),
    "X-Forwarded-Proto",
    "encrypted" in request.socket ? "https" : "http",
    "Via",
    [request.headers.via, `${request.httpVersion.replace(/^2\.0$/, "2")} ${via}`].filter(Boolean).join(", "),
    ...kept,
    ...(hasBody ? ["Transfer-Encoding", "chunked"] : []),
  ];
}

/** In HTTP/2 a body may come without a length. */
const streamsBody = (request: AnyRequest) => "stream" in request && !request.stream.endAfterHeaders;

/** Behind another web server on this host, the address of the client is the one that it names. */
function clientOf(request: AnyRequest): string {
  const { remoteAddress = "" } = request.socket;
  const given = request.headers["x-forwarded-for"];
  const last = typeof given === "string" ? given.split(",").at(-1)?.trim() : undefined;
  const isLocal = /^(?:127\.|::1$|::ffff:127\.)/.test(remoteAddress);
  return isLocal && last !== undefined && isIP(last) !== 0 ? last : remoteAddress.replace(/^::ffff:/, "");
}

/** The upstream's headers for the client. HTTP/2 has none that are about the connection. */
function passedOn(incoming: IncomingMessage, isHttp2: boolean): Record<string, string | string[]> {
  const dropped = namedIn(incoming.headers.connection);
  const headers: Record<string, string | string[]> = {};
  for (const [name, values = []] of Object.entries(incoming.headersDistinct)) {
    const isOwn = OWN_HEADERS.has(name) || dropped.has(name);
    if (!isOwn || (name === "transfer-encoding" && !isHttp2))
      headers[name] = values.length === 1 ? values[0]! : values;
  }
  return headers;
}

/**
 * The headers that belong to this connection only. What says where a body ends never does: without it, the body would be
 * read as the next request of another client.
 */
function namedIn(connection: string | undefined): Set<string> {
  const names = new Set((connection ?? "").split(",").map((name) => name.trim().toLowerCase()));
  names.delete("content-length");
  return names;
}
