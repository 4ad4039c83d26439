import {
  type Action,
  type Answer,
  assertWritable,
  type Behaviour,
  type Endpoint,
  isSinglePath,
  pathsSource,
  plainJson,
  type ProxyWriter,
  type Rule,
  ruleFor,
  type Site,
  type Upstream,
  type Version,
} from "./answer.ts";
import { comments, endpointText, fileText, type Lines } from "./lines.ts";

/** nginx, from 1.18 on. It needs the modules that are always built in, and for TLS ngx_http_ssl_module and ngx_http_v2_module. */
export const nginx: ProxyWriter = {
  title: "nginx",
  does: { answers: true, files: true, automaticTls: false },

  site(behaviour, site, version) {
    assertWritable(behaviour, site, nginx);
    return fileText([
      "server {",
      [
        ...listenLines(site.listen, site.tls !== undefined, version),
        `server_name ${site.hosts.join(" ")};`,
        "",
        ...tlsLines(site),
        ...locations(behaviour, behaviour.rules),
        "",
        ...comments(["Everything else."]),
        "location / {",
        actionLines(behaviour.otherwise, behaviour),
        "}",
      ],
      "}",
      ...redirectServer(behaviour, site),
    ]);
  },

  snippet(behaviour) {
    assertWritable(behaviour, undefined, nginx);
    return fileText(locations(behaviour, behaviour.rules));
  },

  install: {
    site: ["/etc/nginx/sites-enabled/FILE", "nginx -t && systemctl reload nginx"],
    snippet: [
      "/etc/nginx/snippets/FILE",
      "# in the server block of the site, before its other locations: include snippets/FILE;",
      "nginx -t && systemctl reload nginx",
    ],
  },
};

/** "http2 on" came with 1.25.1, and the parameter of listen is deprecated since; an unknown directive prevents the start. */
function listenLines(endpoints: readonly Endpoint[], secure: boolean, version: Version): Lines {
  const hasDirective = version !== undefined && isAtLeast(version, [1, 25, 1]);
  const after = secure ? (hasDirective ? " ssl" : " ssl http2") : "";
  return [
    ...endpoints.flatMap((endpoint) => [
      `listen ${endpointText(endpoint)}${after};`,
      ...(endpoint.address === undefined ? [`listen [::]:${endpoint.port}${after};`] : []),
    ]),
    ...(secure && hasDirective ? ["http2 on;"] : []),
  ];
}

function isAtLeast(version: readonly number[], wanted: readonly number[]): boolean {
  for (const [index, number] of wanted.entries()) {
    const own = version[index] ?? 0;
    if (own !== number) return own > number;
  }
  return true;
}

function tlsLines({ tls }: Site): Lines {
  if (tls === undefined || tls === "automatic") return [];
  return [
    `ssl_certificate ${tls.certificate};`,
    `ssl_certificate_key ${tls.key};`,
    ...comments(["Clients without TLS 1.3 must get an answer, too."]),
    "ssl_protocols TLSv1.2 TLSv1.3;",
    "",
  ];
}

/**
 * Locations with an expression are tried in the order of the file; one with "=" goes before them all, so it is used only
 * where no earlier rule has that path.
 */
function locations(behaviour: Behaviour, rules: readonly Rule[]): Lines {
  return rules.flatMap((rule, index) => {
    const single = rule.paths.every(
      (path) => isSinglePath(path) && ruleFor({ ...behaviour, rules }, path) === rule,
    );
    const places = single ? rule.paths.map((path) => `= ${path}`) : [`~ ${pathsSource(rule.paths)}`];
    return [
      ...(index === 0 ? [] : [""]),
      ...comments(rule.why),
      ...places.flatMap((place) => [`location ${place} {`, ruleLines(rule, behaviour), "}"]),
    ];
  });
}

const ruleLines = ({ byMethod = [], then }: Rule, behaviour: Behaviour): Lines => [
  ...byMethod.flatMap(({ methods, answer }) => [
    methods.length === 1
      ? `if ($request_method = ${methods[0]!}) {`
      : `if ($request_method ~ ^(?:${methods.join("|")})$) {`,
    answerLines(answer),
    "}",
  ]),
  ...actionLines(then, behaviour, byMethod.length > 0),
];

function actionLines(action: Action, { folder }: Behaviour, hasMethods = false): Lines {
  switch (action.kind) {
    case "answer":
      return [...bodyLimit, "default_type application/json;", ...answerLines(action)];
    case "files":
      return [
        `root ${folder!};`,
        ...(action.json ? ["types { }", "default_type application/json;"] : []),
        ...headerLines(action.headers ?? {}),
        "try_files $uri $uri/index.html =404;",
      ];
    case "redirect":
      return [`return 302 ${action.to}$request_uri;`];
    case "forward":
      return [...(hasMethods ? ["default_type application/json;"] : []), ...forwardLines(action.to)];
  }
}

/** Without it, a large body is refused with 413, and the client never learns the answer. */
const bodyLimit: Lines = ["client_max_body_size 0;"];

/** All headers are repeated wherever one is added: an inner block with a header of its own loses those of the outer one. */
const answerLines = ({ status, headers, body }: Answer): Lines => [
  ...headerLines(headers),
  ...(body === undefined ? [`return ${status};`] : returnLines(status, plainJson(body))),
];

const headerLines = (headers: Readonly<Record<string, string>>): string[] =>
  Object.entries(headers).map(([name, value]) => `add_header ${name} "${value}" always;`);

/** A parameter of nginx has 4,096 bytes at most. */
const LONGEST = 3_000;

function returnLines(status: number, json: string): Lines {
  const quoted = (text: string) => `'${text.replaceAll("\\", "\\\\")}'`;
  if (json.length <= LONGEST) return [`return ${status} ${quoted(json)};`];
  const pieces: string[] = [];
  // Never through the middle of an escape: \uXXXX.
  for (let rest = json; rest !== "";) {
    const piece = rest.length <= LONGEST ? rest : rest.slice(0, LONGEST).replace(/\\u?[\da-f]{0,3}$/, "");
    pieces.push(piece);
    rest = rest.slice(piece.length);
  }
  return [
    ...pieces.map((piece, index) => `set $body_${index + 1} ${quoted(piece)};`),
    `return ${status} "${pieces.map((_, index) => `\${body_${index + 1}}`).join("")}";`,
  ];
}

/** The path is not given to proxy_pass: nginx then sends it as it came, escapes included. */
function forwardLines({ origin, authorities }: Upstream): Lines {
  const { protocol, host, hostname } = new URL(origin);
  return [
    ...bodyLimit,
    `proxy_pass ${origin};`,
    "proxy_http_version 1.1;",
    `proxy_set_header Host ${host};`,
    "proxy_set_header X-Forwarded-For $remote_addr;",
    "proxy_set_header X-Forwarded-Proto $scheme;",
    'proxy_set_header Connection "";',
    ...(protocol === "https:"
      ? [
          "proxy_ssl_server_name on;",
          `proxy_ssl_name ${hostname};`,
          "proxy_ssl_verify on;",
          "proxy_ssl_verify_depth 4;",
          `proxy_ssl_trusted_certificate ${authorities ?? "/etc/ssl/certs/ca-certificates.crt"};`,
          "proxy_ssl_protocols TLSv1.2 TLSv1.3;",
        ]
      : []),
    ...comments(["Long polls and large uploads pass through as they come."]),
    "proxy_request_buffering off;",
    "proxy_buffering off;",
    "proxy_read_timeout 600s;",
    "proxy_send_timeout 600s;",
  ];
}

function redirectServer(behaviour: Behaviour, { hosts, redirectFrom, listen }: Site): Lines {
  if (!redirectFrom) return [];
  const port = listen[0]?.port ?? 443;
  return [
    "",
    "server {",
    [
      ...listenLines([redirectFrom], false, undefined),
      `server_name ${hosts.join(" ")};`,
      "",
      ...locations(
        behaviour,
        behaviour.rules.filter(({ unencrypted }) => unencrypted),
      ),
      "",
      "location / {",
      [`return 301 https://$host${port === 443 ? "" : `:${port}`}$request_uri;`],
      "}",
    ],
    "}",
  ];
}
