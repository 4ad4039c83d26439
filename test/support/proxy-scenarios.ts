import type { Answer, Behaviour } from "../../src/proxies/answer.ts";

/** A request and what every program must answer to it. */
export interface ProxyScenario {
  readonly title: string;
  readonly method: string;
  /** As it is sent. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Bytes of the body. */
  readonly bodyBytes?: number;
  readonly expected: Expected;
}

type Expected =
  | {
      readonly kind: "answered";
      readonly status: number;
      readonly headers: Readonly<Record<string, string>>;
      /** The parsed JSON; undefined where the body must be empty, or is none by the method. */
      readonly json: unknown;
    }
  /** The upstream gets it as it came, and its answer comes back as it is. */
  | { readonly kind: "forwarded"; readonly to: "first" | "second" }
  /** 302 to this address. */
  | { readonly kind: "redirected"; readonly location: string }
  | { readonly kind: "file"; readonly text: string; readonly type?: string }
  /** No file there. */
  | { readonly kind: "missing" };

const CORS = {
  "Access-Control-Allow-Origin": "*",
  "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, DELETE, OPTIONS",
  "Access-Control-Allow-Headers": "X-Requested-With, Content-Type, Authorization",
};

/** Everything that a text can contain that is special in some configuration file. */
const HOSTILE_TEXT =
  'it\'s "quoted", 100% $request_uri ${body_1} {http.request.host} %[src] %{REQUEST_URI} `tick` \\back\\ # ; \n\t é 漢 𝄞 </script> \u2028';

const GONE: Answer = {
  kind: "answer",
  status: 401,
  headers: CORS,
  body: JSON.stringify({ errcode: "GONE", error: HOSTILE_TEXT, soft: true }),
};
const PREFLIGHT = { methods: ["OPTIONS"], answer: { kind: "answer", status: 204, headers: CORS } } as const;
const LONG = JSON.stringify({
  "long.list": Array.from({ length: 400 }, (_, index) => `entry ${index} $x "y"`),
});

export interface ScenarioPlaces {
  readonly first: string;
  readonly second: string;
  readonly folder: string | undefined;
}

/** One behaviour with everything that a value can say; `folder` is undefined for a program that serves no files. */
export const scenarioBehaviour = ({ first, second, folder }: ScenarioPlaces): Behaviour => ({
  folder,
  rules: [
    {
      name: "document",
      why: ["A document for everybody, that only a GET or HEAD may ask for."],
      paths: ["/.well-known/thing/client", "/.well-known/thing/support"],
      byMethod: [
        PREFLIGHT,
        {
          methods: ["POST", "PUT", "DELETE"],
          answer: {
            kind: "answer",
            status: 403,
            headers: { "X-Allowed": "GET, HEAD" },
            body: '{"only":"GET"}',
          },
        },
      ],
      then: {
        kind: "answer",
        status: 200,
        headers: { ...CORS, "Cache-Control": "max-age=300" },
        body: '{"base": {"url": "https://new.example.org"}, "number": 1.50, "list": [1, null, true, {}]}',
      },
    },
    {
      name: "long",
      why: ["A document that is longer than one line may be."],
      paths: ["/.well-known/thing/long"],
      then: { kind: "answer", status: 200, headers: CORS, body: LONG },
    },
    ...(folder === undefined
      ? []
      : [
          {
            name: "challenge",
            why: ["Certificates are renewed by files in this folder."],
            paths: ["/.well-known/acme-challenge/**"],
            then: { kind: "files" },
            unencrypted: true,
          } as const,
          {
            name: "files",
            why: ["Files without a suffix, for other origins too."],
            paths: ["/.well-known/files/**"],
            then: { kind: "files", json: true, headers: CORS },
          } as const,
        ]),
    {
      name: "page",
      why: ["A page that is elsewhere now."],
      paths: ["/api/client/*/page", "/api/client/*/page/**"],
      then: { kind: "redirect", to: "https://elsewhere.example.org:8443" },
    },
    {
      name: "sign-in",
      why: ["One variable segment, and everything below."],
      paths: ["/api/client/*/sign-in", "/api/client/*/sign-in/**", "/api/versions"],
      then: { kind: "forward", to: { origin: first } },
    },
    {
      name: "other-server",
      why: ["Another server, but not for uploads."],
      paths: ["/api/other/**"],
      byMethod: [PREFLIGHT, { methods: ["POST", "PUT"], answer: GONE }],
      then: { kind: "forward", to: { origin: second } },
    },
    {
      name: "down",
      why: ["A server that is down for a while."],
      paths: ["/api/down/**"],
      byMethod: [PREFLIGHT],
      then: {
        kind: "answer",
        status: 503,
        headers: { ...CORS, "Retry-After": "30" },
        body: '{"errcode":"DOWN"}',
      },
    },
    {
      name: "api",
      why: ["The rest of the interface is gone.", "Signed out."],
      paths: ["/api/**"],
      byMethod: [PREFLIGHT],
      then: GONE,
    },
  ],
  otherwise: { kind: "answer", status: 404, headers: {}, body: '{"errcode":"NOTHING"}' },
});

const answered = (
  status: number,
  json: unknown,
  headers: Readonly<Record<string, string>> = CORS,
): Expected => ({ kind: "answered", status, headers, json });
const gone = answered(401, JSON.parse(GONE.body!));
const first = { kind: "forwarded", to: "first" } as const;
const second = { kind: "forwarded", to: "second" } as const;
const DOCUMENT = { base: { url: "https://new.example.org" }, number: 1.5, list: [1, null, true, {}] };
const NOTHING = answered(404, { errcode: "NOTHING" }, {});

/** Bytes: more than any program buffers, or allows by default. */
const LARGE = 3 * 1024 * 1024;

export const PROXY_SCENARIOS: readonly ProxyScenario[] = [
  ...["GET", "POST", "PUT", "DELETE", "PATCH"].map((method) => ({
    title: `${method} is answered with its status, headers and body`,
    method,
    path: "/api/client/v3/sync",
    expected: gone,
  })),
  {
    title: "HEAD gets the headers alone",
    method: "HEAD",
    path: "/api/client/v3/sync",
    expected: answered(401, undefined),
  },
  {
    title: "a preflight is allowed",
    method: "OPTIONS",
    path: "/api/client/v3/sync",
    headers: {
      Origin: "https://app.example.org",
      "Access-Control-Request-Method": "PUT",
      "Access-Control-Request-Headers": "authorization,content-type",
    },
    expected: answered(204, undefined),
  },
  {
    title: "a page is redirected, with its path and query",
    method: "GET",
    path: "/api/client/v3/page/oidc-a%20b?redirectUrl=https%3A%2F%2Fapp.example.org%2F%3Fa%3D1%26b&x=$1",
    expected: {
      kind: "redirected",
      location:
        "https://elsewhere.example.org:8443/api/client/v3/page/oidc-a%20b?redirectUrl=https%3A%2F%2Fapp.example.org%2F%3Fa%3D1%26b&x=$1",
    },
  },
  {
    title: "a query changes nothing",
    method: "GET",
    path: "/api/client/v3/sync?timeout=30000&path=/.well-known/thing/client",
    headers: { Authorization: "Bearer secret", Origin: "https://app.example.org" },
    expected: gone,
  },
  {
    title: "a large body is answered, too",
    method: "POST",
    path: "/api/client/v3/upload",
    bodyBytes: LARGE,
    expected: gone,
  },
  {
    title: "a path with escapes is answered",
    method: "PUT",
    path: "/api/client/v3/rooms/!a%3Aexample.org/send/%2Fx%20y",
    bodyBytes: 10,
    expected: gone,
  },
  {
    title: "a document is one for GET",
    method: "GET",
    path: "/.well-known/thing/client",
    expected: answered(200, DOCUMENT, { ...CORS, "Cache-Control": "max-age=300" }),
  },
  {
    title: "two paths of a rule have the same answer",
    method: "GET",
    path: "/.well-known/thing/support",
    expected: answered(200, DOCUMENT),
  },
  {
    title: "a document has no body for HEAD",
    method: "HEAD",
    path: "/.well-known/thing/client",
    expected: answered(200, undefined),
  },
  {
    title: "a method of a document's own has an answer of its own, without the document's headers",
    method: "PUT",
    path: "/.well-known/thing/client",
    bodyBytes: 3,
    expected: answered(403, { only: "GET" }, { "X-Allowed": "GET, HEAD" }),
  },
  {
    title: "a path alone is not what is below it",
    method: "GET",
    path: "/.well-known/thing/client/more",
    expected: NOTHING,
  },
  {
    title: "the dot in a path is a dot",
    method: "GET",
    path: "/xwell-known/thing/client",
    expected: NOTHING,
  },
  {
    title: "a long document is complete",
    method: "GET",
    path: "/.well-known/thing/long",
    expected: answered(200, JSON.parse(LONG)),
  },
  { title: "an earlier rule wins", method: "GET", path: "/api/client/r0/sign-in", expected: first },
  {
    title: "everything below a variable segment is forwarded, with its query",
    method: "GET",
    path: "/api/client/v3/sign-in/sso/redirect/oidc?redirectUrl=https%3A%2F%2Fapp.example.org%2F%3Fa%3Db",
    expected: first,
  },
  {
    title: "a variable segment is one segment only",
    method: "GET",
    path: "/api/client/v3/more/sign-in",
    expected: gone,
  },
  {
    title: "a preflight of a forwarded path is forwarded",
    method: "OPTIONS",
    path: "/api/versions",
    expected: first,
  },
  {
    title: "what is forwarded keeps its escapes",
    method: "PUT",
    path: "/api/client/v3/sign-in/!r%3Aexample.org/%2Fa%2Bb%20c+d~e/$f%3F%23",
    bodyBytes: 20,
    expected: first,
  },
  {
    title: "a large body is forwarded",
    method: "POST",
    path: "/api/client/v3/sign-in",
    bodyBytes: LARGE,
    expected: first,
  },
  {
    title: "another rule has another upstream",
    method: "GET",
    path: "/api/other/key/v2/server",
    expected: second,
  },
  {
    title: "a method is answered though the rest of the rule is forwarded",
    method: "POST",
    path: "/api/other/upload",
    bodyBytes: 100,
    expected: gone,
  },
  {
    title: "and so is its preflight",
    method: "OPTIONS",
    path: "/api/other/upload",
    expected: answered(204, undefined),
  },
  {
    title: "an answer has its own headers",
    method: "GET",
    path: "/api/down/x",
    expected: answered(503, { errcode: "DOWN" }, { ...CORS, "Retry-After": "30" }),
  },
  {
    title: "a path without a rule has the last answer",
    method: "GET",
    path: "/elsewhere",
    expected: NOTHING,
  },
  { title: "the root, too", method: "GET", path: "/", expected: NOTHING },
];

/** For programs that serve files. */
export const FILE_SCENARIOS: readonly ProxyScenario[] = [
  {
    title: "a challenge comes from its file",
    method: "GET",
    path: "/.well-known/acme-challenge/token-1",
    expected: { kind: "file", text: "token-1.key" },
  },
  {
    title: "a missing file is a 404",
    method: "GET",
    path: "/.well-known/acme-challenge/token-2",
    expected: { kind: "missing" },
  },
  {
    title: "a file without a suffix is sent as JSON",
    method: "GET",
    path: "/.well-known/files/client",
    expected: { kind: "file", text: '{"in":"a file"}', type: "application/json" },
  },
  {
    title: "no file outside the folder is served",
    method: "GET",
    path: "/.well-known/files/..%2f..%2f..%2fsecret",
    expected: { kind: "missing" },
  },
];
