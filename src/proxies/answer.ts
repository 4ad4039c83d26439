import { MigrationError } from "../errors.ts";

/**
 * How a web server answers, as a value: rules by path and method. Each file of this folder writes it in the syntax of one
 * program, and all of them must pass the same scenarios, so the programs cannot drift apart.
 */
export interface Behaviour {
  /** The first rule with a matching path applies. A path is compared after its escapes are decoded, without the query. */
  readonly rules: readonly Rule[];
  /** What happens to a path without a rule. Left out of a snippet, whose surroundings decide that. */
  readonly otherwise: Action;
  /** The folder that `files` serves; absolute. Undefined when no rule has `files`. */
  readonly folder?: string | undefined;
}

export interface Rule {
  /** A word of lower-case letters and hyphens, unique in the behaviour: names variables in the files. */
  readonly name: string;
  /** Why the rule exists: a comment in the file, one sentence a line. */
  readonly why: readonly string[];
  readonly paths: readonly PathPattern[];
  /** Answers to single methods, before `then`. Each method at most once. */
  readonly byMethod?: readonly MethodAnswer[];
  readonly then: Action;
  /** Whether it also applies to unencrypted requests, on a port that redirects all others to HTTPS. */
  readonly unencrypted?: boolean;
}

// A set of paths. "/a/b" is this path alone; a segment "*" is any one segment, as the middle one of "/a/*/b"; and "/a/**"
// is every path below "/a/".
export type PathPattern = string;

type Method = "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "PATCH" | "OPTIONS";

interface MethodAnswer {
  readonly methods: readonly Method[];
  readonly answer: Answer;
}

export type Action = Answer | Forward | ServeFiles | Redirect;

/** The same response to every request. */
export interface Answer {
  readonly kind: "answer";
  readonly status: number;
  /** Names in the case in which they are sent; values are printable ASCII. Content-Type is not among them. */
  readonly headers: Readonly<Record<string, string>>;
  /** A JSON text, sent as application/json; undefined for an empty body. */
  readonly body?: string | undefined;
}

/** The request goes to another server unchanged, but for the Host header; so does its response. */
interface Forward {
  readonly kind: "forward";
  readonly to: Upstream;
}

export interface Upstream {
  /** Scheme, host and port, without a path: "https://new.example.org". */
  readonly origin: string;
  /** PEM file with the authorities that may sign its certificate; undefined for those of the operating system. */
  readonly authorities?: string | undefined;
}

/** 302 to the same path and query of another server: for pages, which a browser opens without an access token. */
interface Redirect {
  readonly kind: "redirect";
  /** Scheme, host and port, without a path. */
  readonly to: string;
}

/** A file below `Behaviour.folder`, at the path of the request; 404 when it does not exist. */
export interface ServeFiles {
  readonly kind: "files";
  readonly headers?: Readonly<Record<string, string>>;
  /** Send them as application/json, whatever they are called. */
  readonly json?: boolean;
}

/** Where a web server listens, and under which names. */
export interface Site {
  /** Host names; the first one names things in the file. */
  readonly hosts: readonly [string, ...string[]];
  readonly listen: readonly Endpoint[];
  /** Certificate and key; "automatic" where the program obtains them itself; undefined for HTTP without encryption. */
  readonly tls: CertificateFiles | "automatic" | undefined;
  /** For Traefik with "automatic": its certificate resolver, which it is told of for each router. */
  readonly certificateResolver?: string | undefined;
  /** Where unencrypted requests are redirected to HTTPS, but those of rules with `unencrypted`. */
  readonly redirectFrom?: Endpoint | undefined;
}

export interface Endpoint {
  /** An IP address; undefined for all of the host. */
  readonly address?: string | undefined;
  readonly port: number;
}

export interface CertificateFiles {
  /** PEM files; absolute paths. The certificate file includes the chain. */
  readonly certificate: string;
  readonly key: string;
}

/** Version numbers of an installed program, largest first: [1, 22, 1]. Undefined when it is not known. */
export type Version = readonly number[] | undefined;

/** A program that a behaviour can be written for. */
export interface ProxyWriter {
  /** As people write it: "nginx". */
  readonly title: string;
  /** What it can do by itself. A behaviour with anything else is refused. */
  readonly does: { readonly answers: boolean; readonly files: boolean; readonly automaticTls: boolean };
  /** A complete file for one site. */
  site(behaviour: Behaviour, site: Site, version: Version): string;
  /** The rules alone, to be included in a site that exists. `name` is unique among the snippets of a site. */
  snippet(behaviour: Behaviour, name: string): string;
  /** Where the file belongs and how it is checked and loaded, a line each; # begins a remark. */
  readonly install: { readonly site: readonly string[]; readonly snippet: readonly string[] };
}

/** The regular expression of a pattern, without anchors. The same in PCRE, RE2 and JavaScript. */
export const patternSource = (pattern: PathPattern): string =>
  pattern
    .replaceAll(".", "\\.")
    .replace(/\/\*\*$/, "/.+")
    .replaceAll(/\/\*(?=\/|$)/g, "/[^/]+");

/** One expression, with anchors, for all paths of a rule. */
export function pathsSource(paths: readonly PathPattern[]): string {
  const [only, ...more] = paths.map(patternSource);
  return more.length === 0 ? `^${only!}$` : `^(?:${[only, ...more].join("|")})$`;
}

/** The expressions of rules, made once: a server of ours compares each request with them. */
const expressions = new WeakMap<Rule, RegExp>();

function expressionOf(rule: Rule): RegExp {
  const found = expressions.get(rule) ?? new RegExp(pathsSource(rule.paths), "s");
  expressions.set(rule, found);
  return found;
}

/** The rule that applies to a decoded path; undefined when none does. */
export const ruleFor = ({ rules }: Behaviour, path: string): Rule | undefined =>
  rules.find((rule) => expressionOf(rule).test(path));

/** What a request is answered with. */
export function actionFor(behaviour: Behaviour, { path, method }: { path: string; method: string }): Action {
  const rule = ruleFor(behaviour, path);
  if (!rule) return behaviour.otherwise;
  const special = rule.byMethod?.find(({ methods }) => methods.some((one) => one === method));
  return special?.answer ?? rule.then;
}

/** Whether the pattern is one path alone. */
export const isSinglePath = (pattern: PathPattern): boolean => !pattern.includes("*");

/**
 * A body in a form that is the same text in every syntax: one line of ASCII, whose strings contain letters, digits and a few
 * harmless signs, and everything else as \uXXXX. So the only backslashes are those, and the only quotes begin or end a string.
 */
export function plainJson(body: string): string {
  const strings = body.replaceAll(/"(?:[^"\\]|\\.)*"|\s+/g, (token) => {
    if (!token.startsWith('"')) return "";
    const text = JSON.parse(token) as string;
    return `"${text.replaceAll(/[^\w \-.:/,;!?@+*=()]/g, (sign) =>
      sign
        .split("")
        .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
        .join(""),
    )}"`;
  });
  JSON.parse(strings);
  return strings;
}

/**
 * Throws `bad-usage` for a name, path or address that a configuration file cannot hold as it is, and for an action that the
 * program does not have. Throws a TypeError for a behaviour that is not well formed.
 */
export function assertWritable(behaviour: Behaviour, site: Site | undefined, writer: ProxyWriter): void {
  const { does, title } = writer;
  const names = behaviour.rules.map(({ name }) => name);
  if (new Set(names).size < names.length) throw new TypeError("two rules have the same name");
  for (const { name, paths, why } of behaviour.rules) {
    if (!/^[a-z][a-z-]*$/.test(name)) throw new TypeError(`${name} is not a name of a rule`);
    if (paths.length === 0 || !paths.every((path) => PATTERN.test(path)))
      throw new TypeError(`the paths of ${name} are not patterns`);
    if (why.some((line) => /[^\x20-\x7e]/.test(line))) throw new TypeError(`the comment of ${name}`);
  }
  for (const action of actionsOf(behaviour)) assertAction(action, behaviour, writer);
  if (behaviour.folder !== undefined) assertPath(behaviour.folder);
  if (!site) return;
  for (const host of site.hosts) {
    if (!HOST.test(host)) throw notWritable(`${host} is not a host name`);
  }
  for (const { address } of [...site.listen, ...(site.redirectFrom ? [site.redirectFrom] : [])]) {
    if (address !== undefined && !/^[\d.]+$|^[\da-f:]+$/i.test(address))
      throw notWritable(`${address} is not an IP address`);
  }
  if (site.tls === "automatic") {
    if (!does.automaticTls) throw notWritable(`${title} does not obtain certificates itself`);
  } else if (site.tls) {
    assertPath(site.tls.certificate);
    assertPath(site.tls.key);
  }
}

/** All actions of a behaviour: of its rules, of their methods, and the last one. */
const actionsOf = ({ rules, otherwise }: Behaviour): Action[] => [
  ...rules.flatMap(({ then, byMethod = [] }) => [...byMethod.map(({ answer }) => answer), then]),
  otherwise,
];

const PATTERN = /^(?:\/[\w.~-]+|\/\*(?=\/|$))*(?:\/|\/\*\*)?$/;
const HOST = /^(?=.{1,253}$)[a-z\d](?:[a-z\d-]*[a-z\d])?(?:\.[a-z\d](?:[a-z\d-]*[a-z\d])?)*$/i;

function assertAction(action: Action, { folder }: Behaviour, { does, title }: ProxyWriter): void {
  switch (action.kind) {
    case "answer": {
      if (!does.answers) throw notWritable(`${title} cannot answer by itself`);
      if (!Number.isInteger(action.status) || action.status < 200 || action.status > 599)
        throw new TypeError(`${action.status} is not a status`);
      // Apache writes an Allow header of its own beside the one of a 405.
      if (action.status === 405) throw new TypeError("405 cannot be sent with the right Allow header");
      if (action.body !== undefined) JSON.parse(action.body);
      assertHeaders(action.headers);
      return;
    }
    case "files": {
      if (!does.files) throw notWritable(`${title} cannot serve files`);
      if (folder === undefined) throw new TypeError("files without a folder");
      assertHeaders(action.headers ?? {});
      return;
    }
    case "redirect":
      assertOrigin(action.to);
      return;
    case "forward": {
      assertOrigin(action.to.origin);
      if (action.to.authorities !== undefined) assertPath(action.to.authorities);
    }
  }
}

function assertOrigin(origin: string): void {
  const url = URL.parse(origin);
  if (url && url.username + url.password !== "")
    throw notWritable(`the address of ${url.host} contains a user name or a password`);
  if (!url || !/^https?:$/.test(url.protocol) || url.origin !== origin)
    throw notWritable(`${origin} is not the address of a server, such as https://new.example.org`);
}

function assertHeaders(headers: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(headers)) {
    if (!/^[A-Za-z][A-Za-z-]*$/.test(name) || /^content-(type|length)$/i.test(name))
      throw new TypeError(`${name} is not a header of an answer`);
    if (!/^[\w \-.:/,;!?@+*=()]*$/.test(value)) throw new TypeError(`the value of ${name}`);
  }
}

function assertPath(path: string): void {
  if (!/^\/[\w./@+:,=-]+$/.test(path))
    throw notWritable(
      `${path} cannot be written into a configuration file`,
      "use an absolute path of letters, digits and . / @ + : , = - _",
    );
}

const notWritable = (message: string, hint?: string) => new MigrationError("bad-usage", message, { hint });
