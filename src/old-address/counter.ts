import { hash, randomBytes } from "node:crypto";
import type { WebRequest } from "../system/http/serve.ts";
import type { Decision } from "./respond.ts";

/** What was asked of a server of ours so far. */
export interface AnswerCounts {
  readonly requests: number;
  /** By what they asked for: "sync", "send". */
  readonly byPath: Readonly<Record<string, number>>;
  /** By the client's name, without its version: "Element". */
  readonly byClient: Readonly<Record<string, number>>;
  /** Different access tokens that got the answer; their number is not counted beyond a limit. */
  readonly sessions: number;
  readonly sessionsComplete: boolean;
}

/** Different names are kept up to here, and all others counted as "other": nobody can fill the memory with names. */
const NAMES = 40;
const SESSIONS = 200_000;

/**
 * Counts answered requests in bounded memory. Keeps no access token: only a part of a hash with a secret before it, which is
 * never stored. (An HMAC of Node's costs as much as the rest of an answer.)
 */
export class AnswerCounter {
  readonly #key = randomBytes(32).toString("base64url");
  readonly #sessions = new Fingerprints(SESSIONS);
  readonly #byPath = new Map<string, number>();
  readonly #byClient = new Map<string, number>();
  #requests = 0;
  #sessionsComplete = true;

  /** Counts the request if the behaviour answers it with an error itself. Forwarded requests and files are not counted. */
  add(request: WebRequest, decision: Decision | undefined): void {
    if (decision === undefined) return;
    const { action, asked } = decision;
    if (action.kind !== "answer" || action.status < 400 || action.status === 404) return;
    this.#requests++;
    raise(this.#byPath, pathName(asked.path));
    raise(this.#byClient, clientName(request.userAgent));
    const token = tokenOf(request);
    if (token === undefined) return;
    if (!this.#sessions.add(hash("sha256", this.#key + token, "buffer"))) this.#sessionsComplete = false;
  }

  counts(): AnswerCounts {
    return {
      requests: this.#requests,
      byPath: Object.fromEntries(this.#byPath),
      byClient: Object.fromEntries(this.#byClient),
      sessions: this.#sessions.size,
      sessionsComplete: this.#sessionsComplete,
    };
  }
}

/** A set of hashes, of which it keeps 64 bits each, in memory that is taken at the start and never grows. */
class Fingerprints {
  readonly #most: number;
  /** Two halves of a hash each, beginning with an even index; 0 and 0 where there is none. */
  readonly #halves: Uint32Array;
  #size = 0;

  constructor(most: number) {
    this.#most = most;
    // At most half full, or looking for a place would take long; a power of two.
    this.#halves = new Uint32Array(2 * 2 ** Math.ceil(Math.log2(2 * most)));
  }

  get size(): number {
    return this.#size;
  }

  /** False when it is full and this one is not in it. */
  add(hashed: Buffer): boolean {
    const [first, second] = [hashed.readUInt32LE(0), hashed.readUInt32LE(4) | 1];
    const mask = this.#halves.length - 2;
    let at = (first * 2) & mask;
    while (this.#halves[at + 1] !== 0) {
      if (this.#halves[at] === first && this.#halves[at + 1] === second >>> 0) return true;
      at = (at + 2) & mask;
    }
    if (this.#size >= this.#most) return false;
    this.#halves.set([first, second], at);
    this.#size++;
    return true;
  }
}

function raise(counts: Map<string, number>, name: string): void {
  const kept = counts.has(name) || counts.size < NAMES ? name : "other";
  counts.set(kept, (counts.get(kept) ?? 0) + 1);
}

/** Old clients send it in the query. */
function tokenOf({ authorization, target }: WebRequest): string | undefined {
  const bearer = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
  return bearer ?? /[?&]access_token=([^&#]+)/.exec(target)?.[1];
}

/** The word that says what a path is for; never an identifier of a room, a person or a device. */
function pathName(path: string): string {
  const [, kind, endpoint] = /^\/_matrix\/(client|media)\/[^/]+\/([a-z_]{1,24})(?:\/|$)/.exec(path) ?? [];
  if (kind !== undefined) return kind === "client" ? endpoint! : `media ${endpoint!}`;
  return path.startsWith("/_matrix/") ? "other" : "outside /_matrix";
}

/** "Element" of "Element/1.12.3 (iPhone; …)"; browsers are one. */
function clientName(userAgent = ""): string {
  const name = /^[A-Za-z][A-Za-z .-]{0,30}(?=\/|$)/.exec(userAgent)?.[0];
  if (name === undefined) return "unknown";
  return name === "Mozilla" ? "web browser" : name.trim();
}
