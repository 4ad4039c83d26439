import {
  type Action,
  type Answer,
  assertWritable,
  type Behaviour,
  pathsSource,
  plainJson,
  type ProxyWriter,
  type Rule,
  type Site,
  type Upstream,
} from "./answer.ts";
import { comments, endpointText, fileText, type Lines } from "./lines.ts";

/** Caddy, from 2.6 on, as a Caddyfile. */
export const caddy: ProxyWriter = {
  title: "Caddy",
  does: { answers: true, files: true, automaticTls: true },

  site(behaviour, site) {
    assertWritable(behaviour, site, caddy);
    return fileText(
      [
        `${addresses(site).join(", ")} {`,
        [
          ...bindLines(site),
          ...tlsLines(site),
          ...comments(["In this order: route keeps it."]),
          "route {",
          [
            ...handles(behaviour, behaviour.rules, ""),
            "",
            ...comments(["Everything else."]),
            "handle {",
            actionLines(behaviour.otherwise, behaviour),
            "}",
          ],
          "}",
        ],
        "}",
        ...redirectSite(behaviour, site),
      ],
      "\t",
    );
  },

  snippet(behaviour, name) {
    assertWritable(behaviour, undefined, caddy);
    return fileText(handles(behaviour, behaviour.rules, `${name}-`), "\t");
  },

  install: {
    site: [
      "/etc/caddy/FILE",
      "# in /etc/caddy/Caddyfile: import FILE",
      "caddy validate --config /etc/caddy/Caddyfile --adapter caddyfile && systemctl reload caddy",
    ],
    snippet: [
      "/etc/caddy/FILE",
      "# in the site's block of /etc/caddy/Caddyfile, before its other handle blocks: import FILE",
      "caddy validate --config /etc/caddy/Caddyfile --adapter caddyfile && systemctl reload caddy",
    ],
  },
};

const addresses = ({ hosts, listen, tls }: Site): string[] =>
  hosts.flatMap((host) =>
    listen.map(({ port }) => {
      if (tls === undefined) return `http://${host}:${port}`;
      return port === 443 ? host : `https://${host}:${port}`;
    }),
  );

function bindLines({ listen }: Site): Lines {
  const bound = [...new Set(listen.flatMap(({ address }) => address ?? []))];
  return bound.length === 0 ? [] : [`bind ${bound.join(" ")}`];
}

const tlsLines = ({ tls }: Site): Lines =>
  tls === undefined || tls === "automatic" ? [] : [`tls ${tls.certificate} ${tls.key}`];

function handles(behaviour: Behaviour, rules: readonly Rule[], prefix: string): Lines {
  return rules.flatMap((rule, index) => {
    const matcher = `@${prefix}${rule.name}`;
    return [
      ...(index === 0 ? [] : [""]),
      ...comments(rule.why),
      `${matcher} path_regexp ${pathsSource(rule.paths)}`,
      `handle ${matcher} {`,
      ruleLines(rule, behaviour, prefix),
      "}",
    ];
  });
}

function ruleLines({ name, byMethod = [], then }: Rule, behaviour: Behaviour, prefix: string): Lines {
  if (byMethod.length === 0) return actionLines(then, behaviour);
  return [
    ...byMethod.flatMap(({ methods, answer }) => {
      const matcher = `@${prefix}${name}-${methods.join("-").toLowerCase()}`;
      return [
        `${matcher} method ${methods.join(" ")}`,
        `handle ${matcher} {`,
        actionLines(answer, behaviour),
        "}",
      ];
    }),
    "handle {",
    actionLines(then, behaviour),
    "}",
  ];
}

function actionLines(action: Action, { folder }: Behaviour): Lines {
  switch (action.kind) {
    case "answer":
      return answerLines(action);
    case "files":
      return [
        ...headerLines({
          ...(action.json ? { "Content-Type": "application/json" } : {}),
          ...action.headers,
        }),
        `root * ${folder!}`,
        "file_server",
      ];
    case "redirect":
      return [`redir ${action.to}{uri} 302`];
    case "forward":
      return forwardLines(action.to);
  }
}

const answerLines = ({ status, headers, body }: Answer): Lines => [
  ...headerLines({ ...headers, ...(body === undefined ? {} : { "Content-Type": "application/json" }) }),
  body === undefined ? `respond ${status}` : `respond \`${plainJson(body)}\` ${status}`,
];

const headerLines = (headers: Readonly<Record<string, string>>): Lines => {
  const entries = Object.entries(headers);
  return entries.length === 0 ? [] : ["header {", entries.map(([name, value]) => `${name} "${value}"`), "}"];
};

function forwardLines({ origin, authorities }: Upstream): Lines {
  const { protocol, host, hostname } = new URL(origin);
  const transport =
    protocol === "https:"
      ? [
          "transport http {",
          [
            `tls_server_name ${hostname}`,
            ...(authorities === undefined ? [] : [`tls_trusted_ca_certs ${authorities}`]),
          ],
          "}",
        ]
      : [];
  return [
    `reverse_proxy ${origin} {`,
    [
      `header_up Host ${host}`,
      ...comments(["Long polls and large uploads pass through as they come."]),
      "flush_interval -1",
      ...transport,
    ],
    "}",
  ];
}

/** Caddy redirects port 80 by itself, except that a port of one's own and rules without encryption want their own site. */
function redirectSite(behaviour: Behaviour, site: Site): Lines {
  const { hosts, redirectFrom, listen, tls } = site;
  if (!redirectFrom || (tls === "automatic" && redirectFrom.port === 80)) return [];
  const port = listen[0]?.port ?? 443;
  const rules = behaviour.rules.filter(({ unencrypted }) => unencrypted);
  return [
    "",
    `${hosts.map((host) => `http://${host}:${endpointText({ port: redirectFrom.port })}`).join(", ")} {`,
    [
      ...(redirectFrom.address === undefined ? [] : [`bind ${redirectFrom.address}`]),
      "route {",
      [
        ...handles(behaviour, rules, ""),
        "handle {",
        [`redir https://{host}${port === 443 ? "" : `:${port}`}{uri} permanent`],
        "}",
      ],
      "}",
    ],
    "}",
  ];
}
