import {
  type Action,
  type Answer,
  assertWritable,
  type Behaviour,
  type Endpoint,
  pathsSource,
  plainJson,
  type ProxyWriter,
  type Rule,
  type ServeFiles,
  type Site,
  type Upstream,
} from "./answer.ts";
import { comments, endpointText, fileText, type Lines } from "./lines.ts";

/** Apache httpd, from 2.4.13 on: expressions in ErrorDocument. */
export const apache: ProxyWriter = {
  title: "Apache",
  does: { answers: true, files: true, automaticTls: false },

  site(behaviour, site) {
    assertWritable(behaviour, site, apache);
    const sets = new HeaderSets("site");
    return fileText([
      ...comments([`It needs: a2enmod ${modulesOf(behaviour, site).join(" ")}`]),
      ...listenLines(site.listen),
      `<VirtualHost ${site.listen.map((endpoint) => endpointText(endpoint, "*:")).join(" ")}>`,
      [
        `ServerName ${site.hosts[0]}`,
        ...site.hosts.slice(1).map((host) => `ServerAlias ${host}`),
        ...tlsLines(site),
        ...(behaviour.folder === undefined ? [] : folderLines(behaviour.folder)),
        "",
        ...ruleLines(behaviour, behaviour.rules, sets, [
          ...comments(["Everything else."]),
          ...rewriteLines("^", behaviour.otherwise, sets),
        ]),
        ...documents([...behaviour.rules, { ...REST, then: behaviour.otherwise }], "site"),
        ...sets.lines(),
      ],
      "</VirtualHost>",
      ...redirectHost(behaviour, site),
    ]);
  },

  snippet(behaviour, name) {
    assertWritable(behaviour, undefined, apache);
    const sets = new HeaderSets(name);
    return fileText([
      ...comments([`It needs: a2enmod ${modulesOf(behaviour, undefined).join(" ")}`]),
      ...ruleLines(behaviour, behaviour.rules, sets, []),
      ...documents(behaviour.rules, name),
      ...sets.lines(),
    ]);
  },

  install: {
    site: ["/etc/apache2/sites-enabled/FILE", "apachectl configtest && systemctl reload apache2"],
    snippet: [
      "/etc/apache2/FILE",
      "# in the site's VirtualHost, before its own RewriteRule and ProxyPass lines: Include FILE",
      "apachectl configtest && systemctl reload apache2",
    ],
  },
};

/** Debian's ports.conf listens on 80 and 443 already, and Apache refuses to start with the same port twice. */
const listenLines = (endpoints: readonly Endpoint[]): string[] =>
  endpoints
    .filter(({ port }) => port !== 80 && port !== 443)
    .map((endpoint) => `Listen ${endpointText(endpoint)}`);

const REST: Omit<Rule, "then"> = { name: "otherwise", why: [], paths: ["/**"] };

function modulesOf({ rules, otherwise }: Behaviour, site: Site | undefined): string[] {
  const forwards = [...rules.map(({ then }) => then), otherwise].filter(({ kind }) => kind === "forward");
  return [
    "rewrite",
    "headers",
    "setenvif",
    ...(forwards.length > 0 ? ["proxy", "proxy_http"] : []),
    ...(site?.tls ||
    forwards.some((action) => action.kind === "forward" && action.to.origin.startsWith("https:"))
      ? ["ssl"]
      : []),
    ...(site?.tls ? ["http2"] : []),
  ];
}

function tlsLines({ tls }: Site): Lines {
  if (tls === undefined || tls === "automatic") return [];
  return [
    "SSLEngine on",
    `SSLCertificateFile ${tls.certificate}`,
    `SSLCertificateKeyFile ${tls.key}`,
    ...comments(["Clients without TLS 1.3 must get an answer, too."]),
    "SSLProtocol -all +TLSv1.2 +TLSv1.3",
    "<IfModule http2_module>",
    ["Protocols h2 http/1.1"],
    "</IfModule>",
  ];
}

const folderLines = (folder: string): Lines => [
  `DocumentRoot ${folder}`,
  `<Directory ${folder}>`,
  ["Require all granted", "Options -Indexes"],
  "</Directory>",
];

/** The rules in their order: RewriteRule decides, and what is to be forwarded goes on to the ProxyPassMatch of its rule. */
function ruleLines(behaviour: Behaviour, rules: readonly Rule[], sets: HeaderSets, last: Lines): Lines {
  const upstreams = [...rules.map(({ then }) => then), behaviour.otherwise].flatMap((action) =>
    action.kind === "forward" ? [action.to] : [],
  );
  return [
    ...comments(["Escapes in paths stay as they are, and bodies may have any size."]),
    "AllowEncodedSlashes NoDecode",
    "LimitRequestBody 0",
    ...upstreamLines(upstreams),
    "RewriteEngine on",
    ...rules.flatMap(({ why, paths, byMethod = [], then }) => [
      "",
      ...comments(why),
      ...byMethod.flatMap(({ methods, answer }) => [
        `RewriteCond %{REQUEST_METHOD} ^(?:${methods.join("|")})$`,
        ...rewriteLines(pathsSource(paths), answer, sets),
      ]),
      ...rewriteLines(pathsSource(paths), then, sets),
    ]),
    "",
    ...last,
    "",
  ];
}

/**
 * The headers of answers: a rule sets a variable, and the headers depend on it. Rules with the same headers have the same
 * variable.
 */
class HeaderSets {
  readonly #scope: string;
  readonly #sets: (readonly [string, string][])[] = [];

  constructor(scope: string) {
    this.#scope = scope;
  }

  /** The flag that a RewriteRule sets for an action, with its comma; empty when it has no headers. */
  flag(action: Answer | ServeFiles): string {
    const isJson = action.kind === "files" ? action.json === true : action.body !== undefined;
    const set = Object.entries({
      ...action.headers,
      ...(isJson ? { "Content-Type": "application/json" } : {}),
    });
    if (set.length === 0) return "";
    const found = this.#sets.findIndex((other) => String(other) === String(set));
    if (found < 0) this.#sets.push(set);
    return `,E=${this.#variable(found < 0 ? this.#sets.length - 1 : found)}:1`;
  }

  /** For after the rules. "always" includes errors; a body of ErrorDocument is text/html unless the header says otherwise. */
  lines(): Lines {
    if (this.#sets.length === 0) return [];
    return [
      ...comments(["The headers of the answers."]),
      ...this.#sets.flatMap((set, index) =>
        set.map(([name, value]) => `Header always set ${name} "${value}" env=${this.#variable(index)}`),
      ),
    ];
  }

  #variable(index: number): string {
    return `synlift_${this.#scope.replaceAll("-", "_")}_${index + 1}`;
  }
}

function rewriteLines(source: string, action: Action, sets: HeaderSets): Lines {
  switch (action.kind) {
    case "answer":
      return [`RewriteRule ${source} - [R=${action.status},L${sets.flag(action)}]`];
    case "files":
      return [`RewriteRule ${source} - [L${sets.flag(action)}]`, `ProxyPassMatch ${source} !`];
    case "redirect":
      return [`RewriteRule ${source} ${action.to}%{REQUEST_URI} [R=302,L]`];
    case "forward":
      // nocanon: the path goes on as it came, escapes included.
      return [
        `RewriteRule ${source} - [L]`,
        `ProxyPassMatch ${source} ${action.to.origin} nocanon timeout=600`,
      ];
  }
}

/**
 * The body of each answer. It is given for the paths of its rule, and the sections that come later win: so the rules are
 * written in reverse, and an earlier rule keeps what a later one also matches.
 */
function documents(rules: readonly Rule[], scope: string): Lines {
  const sections = rules.toReversed().flatMap(({ paths, name, byMethod = [], then }) => {
    const answers = [...byMethod.map(({ answer }) => answer), ...(then.kind === "answer" ? [then] : [])];
    const bodies = new Map(
      answers.flatMap(({ status, body }) => (body === undefined ? [] : [[status, plainJson(body)] as const])),
    );
    if (bodies.size === 0) return [];
    const source = name === "otherwise" ? "^/" : pathsSource(paths);
    const long = (status: number) => `synlift_${scope}_${name}_body_${status}`.replaceAll("-", "_");
    return [
      ...[...bodies].flatMap(([status, json]) =>
        json.length > LONGEST ? [`SetEnvIf Request_URI "${source}" "${long(status)}=${quoted(json)}"`] : [],
      ),
      `<LocationMatch "${source}">`,
      [...bodies].map(([status, json]) =>
        json.length > LONGEST
          ? `ErrorDocument ${status} "%{reqenv:${long(status)}}"`
          : `ErrorDocument ${status} "${quoted(json)}"`,
      ),
      "</LocationMatch>",
    ];
  });
  return sections.length === 0 ? [] : [...comments(["The bodies of the answers."]), ...sections, ""];
}

/** The text of an expression has 8,192 bytes at most, escapes included; a longer one is put together from a variable. */
const LONGEST = 3_500;

/** The text is read twice, as a quoted argument and then as a value; each takes a backslash away. */
const quoted = (json: string) => json.replaceAll("\\", "\\\\\\\\").replaceAll('"', '\\"');

function upstreamLines(upstreams: readonly Upstream[]): Lines {
  if (upstreams.length === 0) return [];
  const secure = upstreams.filter(({ origin }) => origin.startsWith("https:"));
  const authorities = secure[0]?.authorities ?? "/etc/ssl/certs/ca-certificates.crt";
  return [
    "ProxyRequests off",
    "ProxyPreserveHost off",
    ...comments(["Long polls pass through."]),
    "ProxyTimeout 600",
    "RequestHeader set X-Forwarded-Proto expr=%{REQUEST_SCHEME}",
    ...(secure.length === 0
      ? []
      : [
          "SSLProxyEngine on",
          "SSLProxyVerify require",
          "SSLProxyVerifyDepth 4",
          "SSLProxyCheckPeerName on",
          `SSLProxyCACertificateFile ${authorities}`,
        ]),
  ];
}

function redirectHost(behaviour: Behaviour, site: Site): Lines {
  const { hosts, redirectFrom, listen } = site;
  if (!redirectFrom) return [];
  const rules = behaviour.rules.filter(({ unencrypted }) => unencrypted);
  const port = listen[0]?.port ?? 443;
  const sets = new HeaderSets("plain");
  return [
    "",
    ...listenLines([redirectFrom]),
    `<VirtualHost ${endpointText(redirectFrom, "*:")}>`,
    [
      `ServerName ${hosts[0]}`,
      ...hosts.slice(1).map((host) => `ServerAlias ${host}`),
      ...(behaviour.folder === undefined ? [] : folderLines(behaviour.folder)),
      ...ruleLines({ ...behaviour, otherwise: NONE }, rules, sets, [
        `RewriteRule ^ https://%{SERVER_NAME}${port === 443 ? "" : `:${port}`}%{REQUEST_URI} [R=301,L,NE]`,
      ]),
      ...documents(rules, "plain"),
      ...sets.lines(),
    ],
    "</VirtualHost>",
  ];
}

const NONE: Answer = { kind: "answer", status: 404, headers: {} };
