import { type Action, actionFor, type Answer, type Behaviour } from "../proxies/answer.ts";
import type { Reply, StaticReply, WebRequest } from "../system/http/serve.ts";
import { matrixError } from "./cors.ts";

/** PEM texts of authorities, by the path in an upstream. */
type Authorities = ReadonlyMap<string, string>;

/** What a request asks for, and what the behaviour does with it. */
export interface Decision {
  readonly asked: RequestedPath;
  readonly action: Action;
}

/** Undefined for what is no path. */
export function decide(
  { method, target }: Pick<WebRequest, "method" | "target">,
  behaviour: Behaviour,
): Decision | undefined {
  const asked = requestedPath(target);
  return asked && { asked, action: actionFor(behaviour, { path: asked.path, method }) };
}

/** How synlift itself answers a request with a behaviour: what the other programs do with a file of theirs. */
export function replyTo(
  decision: Decision | undefined,
  behaviour: Behaviour,
  authorities: Authorities = new Map(),
): Reply {
  return decision ? replyWith(decision.action, decision.asked, behaviour, authorities) : BAD_REQUEST;
}

const replies = new WeakMap<Answer, StaticReply>();

/** What clients are told when the new homeserver does not answer: a failure that passes. */
export const UNREACHABLE: StaticReply = staticReply(
  matrixError(
    502,
    { errcode: "M_UNKNOWN", error: "The new homeserver cannot be reached" },
    { "Retry-After": "30" },
  ),
);

/** What is told where the new homeserver's name leads back to this address: else a request would go round until it breaks. */
export const LOOP: StaticReply = staticReply(
  matrixError(
    502,
    {
      errcode: "M_UNKNOWN",
      error: "The address of the new homeserver leads back here: it must be another server",
    },
    { "Retry-After": "30" },
  ),
);

const BAD_REQUEST: StaticReply = staticReply(
  matrixError(400, { errcode: "M_UNRECOGNIZED", error: "This is not a path" }),
);

interface RequestedPath {
  /** Decoded, with "//" made one and "." and ".." resolved: what rules are compared with. */
  readonly path: string;
  /** As it came, with its query, beginning with "/", without a fragment: what an upstream gets. */
  readonly raw: string;
}

/**
 * The path of a request's target: a path with a query, or an absolute URL (RFC 9112, section 3.2). Undefined for what is
 * no path, for an escape that is none, for one of NUL, and for a path that leads above the root.
 */
export function requestedPath(target: string): RequestedPath | undefined {
  if (target === "*") return { path: "/", raw: "/" };
  const absolute = /^https?:\/\/[^/?#]*/i.exec(target);
  const raw = absolute ? target.slice(absolute[0].length) : target;
  const withSlash = absolute && !raw.startsWith("/") ? `/${raw}` : raw;
  if (!withSlash.startsWith("/")) return undefined;
  const decoded = decode(withSlash.replace(/[?#].*$/s, ""));
  if (decoded === undefined || decoded.includes("\0")) return undefined;
  const segments: string[] = [];
  const parts = decoded.split("/");
  for (const part of parts) {
    if (part === "" || part === ".") continue;
    if (part !== "..") segments.push(part);
    else if (segments.pop() === undefined) return undefined;
  }
  const isFolder = ["", ".", ".."].includes(parts.at(-1)!) && segments.length > 0;
  return { path: `/${segments.join("/")}${isFolder ? "/" : ""}`, raw: withSlash.replace(/#.*$/s, "") };
}

function decode(path: string): string | undefined {
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}

function replyWith(
  action: Action,
  { path, raw }: RequestedPath,
  behaviour: Behaviour,
  authorities: Authorities,
): Reply {
  switch (action.kind) {
    case "answer":
      return staticReply(action);
    case "redirect": {
      const place = raw.replaceAll(/[^\x21-\x7e]/g, (sign) => encodeURIComponent(sign));
      return { kind: "reply", status: 302, headers: { Location: `${action.to}${place}` }, body: undefined };
    }
    case "forward":
      return {
        kind: "forward",
        origin: action.to.origin,
        path: raw,
        authorities: action.to.authorities === undefined ? undefined : authorities.get(action.to.authorities),
      };
    case "files":
      return {
        kind: "file",
        folder: behaviour.folder!,
        path,
        headers: { ...action.headers, ...(action.json ? { "Content-Type": "application/json" } : {}) },
      };
  }
}

/** Hoisted: used by constants above. The same answer gets the same reply, so that a server may keep what it made of it. */
function staticReply(answer: Answer): StaticReply {
  const { status, headers, body } = answer;
  const found = replies.get(answer) ?? { kind: "reply", status, headers, body };
  replies.set(answer, found);
  return found;
}
