import type { Finding } from "../report/finding.ts";
import { NoAnswer } from "../system/http/no-answer.ts";
import type { ProbeAnswer, Prober, ProbeQuestion } from "../system/http/probe.ts";
import { bareHost } from "../system/ip-address.ts";

export interface SignOutProbe {
  /** The old address, without a path. */
  readonly base: string;
  /** PEM text of additional authorities. */
  readonly authorities: string | undefined;
  /** Whether a TCP connection is accepted at the port that other servers may use. */
  readonly accepts: (host: string, port: number) => Promise<boolean>;
}

/** A question without the parts that all have. */
type Question = Omit<ProbeQuestion, "url" | "signal" | "authorities"> & { readonly path: string };
type Ask = (question: Question) => Promise<ProbeAnswer | NoAnswer>;

const ORIGIN = "https://app.example.org";
/** No server knows it. */
const TOKEN = "synlift_test_of_the_sign_out";
const AS_CLIENT = { Authorization: `Bearer ${TOKEN}`, Origin: ORIGIN };
const ROOM = "/_matrix/client/v3/rooms/!synlift:example.org";

/** Requests of clients, a method each. */
const REQUESTS: readonly Question[] = [
  { method: "GET", path: "/_matrix/client/v3/sync?timeout=0", headers: AS_CLIENT },
  { method: "POST", path: `${ROOM}/receipt/m.read/$x`, headers: AS_CLIENT, bodyBytes: 2 },
  { method: "PUT", path: `${ROOM}/send/m.room.message/1`, headers: AS_CLIENT, bodyBytes: 2 },
  { method: "DELETE", path: "/_matrix/client/v3/room_keys/version/1", headers: AS_CLIENT },
  { method: "HEAD", path: "/_matrix/client/v3/sync", headers: AS_CLIENT },
];

/** Bytes: nginx refuses more than one MiB unless it is told otherwise. */
const LARGE = 2 * 1024 * 1024;

/** Asks the old address as browsers, other clients and other servers do, and says whether everybody is signed out. */
export async function probeSignOut(
  { base, authorities, accepts }: SignOutProbe,
  { prober, signal }: { readonly prober: Prober; readonly signal: AbortSignal },
): Promise<Finding[]> {
  const ask: Ask = async ({ path, ...question }) => {
    try {
      return await prober.ask({ ...question, url: `${base}${path}`, authorities, signal });
    } catch (error) {
      if (error instanceof NoAnswer) return error;
      throw error;
    }
  };
  const [sync, ...others] = REQUESTS;
  const first = await ask(sync!);
  if (first instanceof NoAnswer)
    return [
      blocker(
        "no-answer",
        `${base} does not answer: ${first.message}`,
        "clients that cannot connect are not signed out",
      ),
    ];
  const answers = [first];
  for (const question of others) answers.push(await answerOf(ask, question));
  const soft = softLogoutOf(first);
  return [
    ...statusFindings(answers),
    ...bodyFindings(first),
    ...corsFindings(answers),
    ...(await preflightFindings(ask)),
    ...(await signInFindings(ask, soft)),
    ...(await federationFindings(ask)),
    ...(await wellKnownFindings(ask)),
    ...(await mediaFindings(ask)),
    ...(await largeBodyFindings(ask)),
    ...(base.startsWith("https:") ? await tlsFindings(ask) : []),
    ...((await accepts(bareHost(new URL(base).hostname), 8448))
      ? []
      : [
          note(
            "federation-port",
            "nothing listens on port 8448, where other servers look if no well-known file or SRV record says otherwise",
            "listen there too, if the old server did: --listen 443 --listen 8448",
          ),
        ]),
  ];
}

const NOTHING: ProbeAnswer = { status: 0, headers: [], body: "" };

async function answerOf(ask: Ask, question: Question): Promise<ProbeAnswer> {
  const answer = await ask(question);
  return answer instanceof NoAnswer ? NOTHING : answer;
}

function statusFindings(answers: readonly ProbeAnswer[]): Finding[] {
  const wrong = answers.flatMap(({ status }, index) =>
    status === 401 ? [] : [`${REQUESTS[index]!.method}: ${status === 0 ? "no answer" : status}`],
  );
  return wrong.length === 0
    ? [ok("status", "GET, POST, PUT, DELETE and HEAD with an access token get 401")]
    : [
        blocker(
          "status",
          "not every request with an access token gets 401",
          answers.some(({ status }) => status >= 300 && status < 400)
            ? "a redirect signs nobody out: clients send no access token to another address; answer 401 here, or let everybody stay signed in with synlift forward"
            : "answer each method alike",
          wrong,
        ),
      ];
}

function bodyFindings(answer: ProbeAnswer): Finding[] {
  const types = valuesOf(answer, "content-type");
  const json = objectIn(answer.body);
  const isJson = types.length === 1 && /^application\/json\s*(;|$)/i.test(types[0]!);
  return [
    isJson
      ? ok("content-type", "the answer is application/json")
      : blocker(
          "content-type",
          types.length > 1
            ? "the answer has several Content-Type headers"
            : "the answer is not application/json",
          "clients take it for a failure that passes, and stay signed in; in nginx use default_type, not add_header",
          types,
        ),
    json?.["errcode"] === "M_UNKNOWN_TOKEN"
      ? ok("errcode", "the answer has the error code M_UNKNOWN_TOKEN")
      : blocker(
          "errcode",
          "the answer has no error code M_UNKNOWN_TOKEN",
          "clients stay signed in without it",
        ),
    typeof json?.["soft_logout"] === "boolean"
      ? ok("soft-logout", `soft_logout is ${json["soft_logout"]}`)
      : warning(
          "soft-logout",
          "soft_logout is missing, which means false: clients discard their messages and keys",
          "write it: true for clients to keep them, false if they shall not",
        ),
  ];
}

function corsFindings(answers: readonly ProbeAnswer[]): Finding[] {
  const wrong = answers.flatMap((answer, index) => {
    const values = valuesOf(answer, "access-control-allow-origin");
    if (values.length === 1 && ["*", ORIGIN].includes(values[0]!)) return [];
    return [`${REQUESTS[index]!.method}: ${values.length === 0 ? "none" : values.join(" and ")}`];
  });
  return wrong.length === 0
    ? [ok("cors", "web clients see the answer to every method")]
    : [
        blocker(
          "cors",
          "web clients do not see the answer to every method, and report a lost connection instead",
          "Access-Control-Allow-Origin: * exactly once, on every status and method; in nginx with always, and in every if block",
          wrong,
        ),
      ];
}

async function preflightFindings(ask: Ask): Promise<Finding[]> {
  const faults: string[] = [];
  for (const method of ["GET", "POST", "PUT", "DELETE"]) {
    const answer = await answerOf(ask, {
      method: "OPTIONS",
      path: "/_matrix/client/v3/sync",
      headers: {
        Origin: ORIGIN,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type",
      },
    });
    const list = (name: string) =>
      valuesOf(answer, name)
        .join(",")
        .split(",")
        .map((value) => value.trim().toLowerCase());
    const allows = (name: string, value: string, byAll: boolean) =>
      list(name).some((one) => one === value || (byAll && one === "*"));
    if (answer.status < 200 || answer.status > 299)
      faults.push(`${method}: the preflight gets ${answer.status === 0 ? "no answer" : answer.status}`);
    else if (valuesOf(answer, "access-control-allow-origin").length !== 1)
      faults.push(`${method}: no Access-Control-Allow-Origin`);
    else if (
      ["PUT", "DELETE"].includes(method) &&
      !allows("access-control-allow-methods", method.toLowerCase(), true)
    )
      faults.push(`${method} is not among Access-Control-Allow-Methods`);
    for (const header of ["authorization", "content-type"])
      // "*" is every header but Authorization (Fetch standard, "CORS-preflight fetch").
      if (!allows("access-control-allow-headers", header, header !== "authorization"))
        faults.push(`${method}: ${header} is not among Access-Control-Allow-Headers`);
  }
  return faults.length === 0
    ? [ok("preflight", "browsers may send GET, POST, PUT and DELETE with an access token")]
    : [
        blocker(
          "preflight",
          "browsers do not send every request: a preflight is refused",
          "answer OPTIONS with 204 and all methods and headers",
          faults,
        ),
      ];
}

const VERSIONS = "/_matrix/client/versions";

/** After a soft sign-out clients sign in at this address; after a hard one, at the new one. */
async function signInFindings(ask: Ask, soft: boolean): Promise<Finding[]> {
  const paths = [VERSIONS, "/_matrix/client/v3/login"];
  const refused = new Map<string, string>();
  for (const path of paths) {
    const { status } = await answerOf(ask, { method: "GET", path, headers: { Origin: ORIGIN } });
    if (status !== 200) refused.set(path, `${path}: ${status === 0 ? "no answer" : status}`);
  }
  if (refused.size === 0)
    return [
      soft
        ? ok("sign-in", "clients can sign in again at this address")
        : note("sign-in", "clients can sign in at this address, and are signed out again if they stay there"),
    ];
  return soft
    ? [
        blocker(
          "sign-in",
          "clients that keep their keys cannot sign in again: they do it at this address",
          "forward versions and login to the new server",
          [...refused.values()],
        ),
      ]
    : [ok("sign-in", "nobody signs in at this address again"), ...interruptedFindings(refused.get(VERSIONS))];
}

/** A client whose sync could not connect asks for the versions until they are answered, and only then syncs again. */
function interruptedFindings(refused: string | undefined): Finding[] {
  if (refused === undefined) return [];
  return [
    warning(
      "versions",
      "clients whose connection was interrupted do not learn that they are signed out",
      `forward ${VERSIONS} to the new server: without an access token they ask for it until it is answered`,
      [refused],
    ),
  ];
}

async function federationFindings(ask: Ask): Promise<Finding[]> {
  const statuses: string[] = [];
  for (const path of ["/_matrix/federation/v1/version", "/_matrix/key/v2/server"]) {
    const { status } = await answerOf(ask, { method: "GET", path });
    if (status !== 200) statuses.push(`${path}: ${status === 0 ? "no answer" : status}`);
  }
  if (statuses.length === 0) return [ok("federation", "requests of other servers are answered")];
  return [
    warning(
      "federation",
      "requests of other servers fail here: they may keep this address for 48 hours, and back off from the new server",
      "forward /_matrix/federation and /_matrix/key to the new server",
      statuses,
    ),
  ];
}

async function wellKnownFindings(ask: Ask): Promise<Finding[]> {
  const findings: Finding[] = [];
  const swallowed: string[] = [];
  for (const name of ["client", "server"]) {
    const { status } = await answerOf(ask, { method: "GET", path: `/.well-known/matrix/${name}` });
    if (status !== 200 && status !== 404) swallowed.push(`/.well-known/matrix/${name}: ${status}`);
  }
  findings.push(
    swallowed.length === 0
      ? ok("well-known", "the well-known files are left alone")
      : blocker(
          "well-known",
          "the well-known files are answered like everything else: clients and servers do not find the new server",
          "leave /.well-known/matrix alone",
          swallowed,
        ),
  );
  const challenge = await answerOf(ask, { method: "GET", path: "/.well-known/acme-challenge/synlift-test" });
  findings.push(
    challenge.status === 401
      ? warning(
          "acme",
          "certificate challenges get 401: the certificate cannot be renewed, and later nobody is signed out",
          "leave /.well-known/acme-challenge alone, also on port 80",
        )
      : ok("acme", "certificate challenges are left alone"),
  );
  return findings;
}

async function mediaFindings(ask: Ask): Promise<Finding[]> {
  const { status } = await answerOf(ask, {
    method: "GET",
    path: "/_matrix/media/v3/download/example.org/synlift",
  });
  return status === 401
    ? [
        warning(
          "media-links",
          "old links to media get 401, although they need no access token",
          "forward GET of /_matrix/media to the new server",
        ),
      ]
    : [ok("media-links", "old links to media are left alone")];
}

async function largeBodyFindings(ask: Ask): Promise<Finding[]> {
  const { status } = await answerOf(ask, {
    method: "POST",
    path: "/_matrix/client/v3/keys/upload",
    headers: AS_CLIENT,
    bodyBytes: LARGE,
  });
  return status === 401
    ? [ok("large-body", "requests with a large body are answered alike")]
    : [
        warning(
          "large-body",
          `requests with a large body get ${status === 0 ? "no answer" : status}`,
          "allow any size: client_max_body_size 0 in nginx",
        ),
      ];
}

async function tlsFindings(ask: Ask): Promise<Finding[]> {
  const question = { method: "GET", path: "/_matrix/client/v3/sync", headers: AS_CLIENT };
  const older = await ask({ ...question, newestTls: "TLSv1.2" });
  const newer = await ask({ ...question, http: "2" });
  return [
    older instanceof NoAnswer
      ? warning(
          "tls-1-2",
          `clients without TLS 1.3 cannot connect: ${older.message}`,
          "allow TLS 1.2 and 1.3: those clients are not told that they are signed out",
        )
      : ok("tls-1-2", "clients with TLS 1.2 are answered"),
    newer instanceof NoAnswer || newer.status !== 401
      ? note("http-2", "HTTP/2 is not answered; clients fall back to HTTP/1.1")
      : ok("http-2", "HTTP/2 is answered, too"),
  ];
}

const softLogoutOf = ({ body }: ProbeAnswer) => objectIn(body)?.["soft_logout"] === true;

function objectIn(body: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

const valuesOf = ({ headers }: ProbeAnswer, wanted: string): string[] =>
  headers.flatMap(([name, value]) => (name === wanted ? [value] : []));

const ok = (id: string, sentence: string): Finding => ({ id, level: "ok", sentence });
const note = (id: string, sentence: string, hint?: string): Finding => ({
  id,
  level: "note",
  sentence,
  ...(hint === undefined ? {} : { hint }),
});
const warning = (id: string, sentence: string, hint: string, evidence: readonly string[] = []): Finding => ({
  id,
  level: "warning",
  sentence,
  hint,
  evidence,
});
const blocker = (id: string, sentence: string, hint: string, evidence: readonly string[] = []): Finding => ({
  id,
  level: "blocker",
  sentence,
  hint,
  evidence,
});
