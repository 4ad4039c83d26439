import { createHmac, randomBytes } from "node:crypto";
import { actionFor, type Behaviour } from "../proxies/answer.ts";
import type { WebRequest } from "../system/http/serve.ts";
import { requestedPath } from "./respond.ts";

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

/** Counts answered requests in bounded memory. Keeps no access token: only a keyed hash, with a key that is never stored. */
export class AnswerCounter {
  readonly #key = randomBytes(32);
  readonly #sessions = new Set<string>();
  readonly #byPath = new Map<string, number>();
  readonly #byClient = new Map<string, number>();
  #requests = 0;
  #sessionsComplete = true;

  /** Counts the request if the behaviour answers it with an error itself. Forwarded requests and files are not counted. */
  add(request: WebRequest, behaviour: Behaviour): void {
    const path = requestedPath(request.target)?.path;
    if (path === undefined) return;
    const action = actionFor(behaviour, { path, method: request.method });
    if (action.kind !== "answer" || action.status < 400 || action.status === 404) return;
    this.#requests++;
    raise(this.#byPath, pathName(path));
    raise(this.#byClient, clientName(request.userAgent));
    const token = tokenOf(request);
    if (token === undefined) return;
    const session = createHmac("sha256", this.#key).update(token).digest("base64").slice(0, 12);
    if (this.#sessions.has(session)) return;
    if (this.#sessions.size < SESSIONS) this.#sessions.add(session);
    else this.#sessionsComplete = false;
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
