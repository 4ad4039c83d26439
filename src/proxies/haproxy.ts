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
  type Site,
  type Upstream,
} from "./answer.ts";
import { comments, endpointText, fileText, type Lines } from "./lines.ts";

/** HAProxy, from 2.4 on. */
export const haproxy: ProxyWriter = {
  title: "HAProxy",
  does: { answers: true, files: false, automaticTls: false },

  site(behaviour, site) {
    assertWritable(behaviour, site, haproxy);
    const name = nameOf(site.hosts[0]);
    return fileText([
      `frontend ${name}`,
      [
        ...bindLines(site),
        "mode http",
        ...comments(["A long poll takes minutes: the timeouts are longer."]),
        "timeout client 10m",
        "timeout http-request 1m",
        ...hostLines(site, name),
        "",
        ...ruleLines(behaviour.rules, name),
        "",
        ...comments(["Everything else."]),
        ...lastLines(behaviour.otherwise, behaviour, name),
      ],
      ...redirectFrontend(behaviour, site, name),
      ...backends(behaviour, name),
    ]);
  },

  snippet(behaviour, name) {
    assertWritable(behaviour, undefined, haproxy);
    return fileText([
      ...comments(["For the frontend of the site, before its own use_backend lines:"]),
      ...ruleLines(behaviour.rules, name),
      ...backends({ ...behaviour, otherwise: NOTHING }, name),
    ]);
  },

  install: {
    site: [
      "# at the end of /etc/haproxy/haproxy.cfg, or with another -f: FILE",
      "# certificate and key in one file: cat fullchain.pem privkey.pem > the file after crt",
      "haproxy -c -f /etc/haproxy/haproxy.cfg && systemctl reload haproxy",
    ],
    snippet: [
      "# the lines of FILE belong into the frontend of the site in /etc/haproxy/haproxy.cfg; backends, at its end",
      "haproxy -c -f /etc/haproxy/haproxy.cfg && systemctl reload haproxy",
    ],
  },
};

const NOTHING: Answer = { kind: "answer", status: 404, headers: {} };

const nameOf = (host: string) => host.replaceAll(".", "-");

function bindLines({ listen, tls }: Site): Lines {
  const secure =
    tls && tls !== "automatic" ? ` ssl crt ${tls.certificate} alpn h2,http/1.1 ssl-min-ver TLSv1.2` : "";
  return listen.flatMap((endpoint) => bindsOf(endpoint, secure));
}

/** A bind without an address is for IPv4 alone. */
const bindsOf = (endpoint: Endpoint, secure = ""): string[] => [
  `bind ${endpointText(endpoint, ":")}${secure}`,
  ...(endpoint.address === undefined ? [`bind [::]:${endpoint.port} v6only${secure}`] : []),
];

/** Requests for other names are none of this frontend's. */
const hostLines = ({ hosts }: Site, name: string): Lines => [
  `acl ${name}-host hdr(host),field(1,:) -i ${hosts.join(" ")}`,
  `http-request return status 421 if !${name}-host`,
];

/** The first rule that matches is kept in a variable, because a later one must not apply then. */
function ruleLines(rules: readonly Rule[], name: string): Lines {
  const chosen = `txn.${name.replaceAll("-", "_")}`;
  return rules.flatMap(({ name: ruleName, why, paths, byMethod = [], then }, index) => {
    const matches = `{ var(${chosen}) -m str ${ruleName} }`;
    const condition = `{ path_reg '${pathsSource(paths)}' }`;
    return [
      ...(index === 0 ? [] : [""]),
      ...comments(why),
      `http-request set-var(${chosen}) str(${ruleName}) if !{ var(${chosen}) -m found } ${condition}`,
      ...byMethod.map(
        ({ methods, answer }) => `${answerText(answer)} if ${matches} { method ${methods.join(" ")} }`,
      ),
      then.kind === "forward"
        ? `use_backend ${name}-${ruleName} if ${matches}`
        : `${actionText(then)} if ${matches}`,
    ];
  });
}

const lastLines = (action: Action, behaviour: Behaviour, name: string): Lines =>
  action.kind === "forward"
    ? [`default_backend ${name}-otherwise`]
    : [...exceptForwards(behaviour, name).map((condition) => `${actionText(action)}${condition}`)];

/** http-request rules run before any use_backend: an answer to the rest must leave out what a backend is to get. */
function exceptForwards({ rules }: Behaviour, name: string): string[] {
  const chosen = `txn.${name.replaceAll("-", "_")}`;
  return rules.some(({ then }) => then.kind === "forward") ? [` if !{ var(${chosen}) -m found }`] : [""];
}

const actionText = (action: Action): string =>
  action.kind === "redirect"
    ? `http-request redirect prefix ${action.to} code 302`
    : answerText(action as Answer);

/** The values are log formats, in which % begins a variable; there are none in a header of ours. */
function answerText({ status, headers, body }: Answer): string {
  const content = body === undefined ? "" : ` content-type application/json string '${plainJson(body)}'`;
  const set = Object.entries(headers).map(([name, value]) => ` hdr ${name} '${value}'`);
  return `http-request return status ${status}${content}${set.join("")}`;
}

function backends(behaviour: Behaviour, name: string): Lines {
  const forwards = [
    ...behaviour.rules.map(({ name: rule, then }) => [rule, then] as const),
    ["otherwise", behaviour.otherwise] as const,
  ];
  return forwards.flatMap(([rule, action]) =>
    action.kind === "forward" ? ["", `backend ${name}-${rule}`, backendLines(action.to)] : [],
  );
}

function backendLines({ origin, authorities }: Upstream): Lines {
  const { protocol, host, hostname, port } = new URL(origin);
  const secure = protocol === "https:";
  const bare = hostname.replace(/^\[|\]$/g, "");
  const isAddress = /^[\d.]+$/.test(hostname) || hostname.startsWith("[");
  const tls = ` ssl verify required ca-file ${authorities ?? "@system-ca"}${
    isAddress ? "" : ` sni str(${hostname}) verifyhost ${hostname}`
  } ssl-min-ver TLSv1.2 alpn http/1.1`;
  return [
    "mode http",
    "timeout server 10m",
    "timeout connect 10s",
    `http-request set-header Host ${host}`,
    "http-request set-header X-Forwarded-Proto https if { ssl_fc }",
    "http-request set-header X-Forwarded-For %[src]",
    ...comments(["Starts even while the name cannot be resolved."]),
    `server new ${bare}:${port === "" ? (secure ? 443 : 80) : port}${secure ? tls : ""} init-addr last,libc,none`,
  ];
}

function redirectFrontend(behaviour: Behaviour, site: Site, name: string): Lines {
  const { redirectFrom, listen } = site;
  if (!redirectFrom) return [];
  const rules = behaviour.rules.filter(({ unencrypted }) => unencrypted);
  const port = listen[0]?.port ?? 443;
  const except = rules.some(({ then }) => then.kind === "forward")
    ? ` if !{ var(txn.${name.replaceAll("-", "_")}) -m found }`
    : "";
  return [
    "",
    `frontend ${name}-redirect`,
    [
      ...bindsOf(redirectFrom),
      "mode http",
      "timeout client 1m",
      ...ruleLines(rules, name),
      `http-request redirect code 301 location https://%[hdr(host),field(1,:)]${port === 443 ? "" : `:${port}`}%[capture.req.uri]${except}`,
    ],
  ];
}
