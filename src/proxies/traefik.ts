import {
  type Action,
  type Behaviour,
  assertWritable,
  isSinglePath,
  type PathPattern,
  patternSource,
  type ProxyWriter,
  type Rule,
  type Site,
  type Upstream,
} from "./answer.ts";
import { comments, fileText, type Lines } from "./lines.ts";

/** Traefik 3, as a file of its file provider. It has no static answers: they come from a service, which is told apart. */
export function traefikWith(answersFrom: string): ProxyWriter {
  const writer: ProxyWriter = {
    title: "Traefik",
    does: { answers: true, files: true, automaticTls: true },

    site(behaviour, site) {
      assertWritable(behaviour, site, writer);
      return fileText(document(behaviour, hostRule(site), nameOf(site.hosts[0]), answersFrom, site), "  ");
    },

    snippet() {
      throw new TypeError("Traefik has no snippets: its routers are told apart by the host");
    },

    install: {
      site: [
        "# in the folder that providers.file.directory names in traefik.yml: FILE",
        "# Traefik loads it by itself; docker logs shows what it refuses",
      ],
      snippet: [],
    },
  };
  return writer;
}

/** The rules alone, for a host whose other paths belong to routers that exist. The behaviour's `otherwise` is not written. */
export function traefikRoutes(behaviour: Behaviour, site: Site, answersFrom: string): string {
  assertWritable(behaviour, site, traefikWith(answersFrom));
  return fileText(document(behaviour, hostRule(site), nameOf(site.hosts[0]), answersFrom, site, false), "  ");
}

const nameOf = (host: string) => host.replaceAll(".", "-");

const hostRule = ({ hosts }: Site) => hosts.map((host) => `Host(\`${host}\`)`).join(" || ");

/** The first rule has the highest priority, because Traefik would otherwise try the longest expression first. */
function document(
  behaviour: Behaviour,
  host: string,
  name: string,
  answersFrom: string,
  site: Site,
  complete = true,
): Lines {
  const { rules, otherwise } = behaviour;
  const rest: Rule = { name: "otherwise", why: ["Everything else."], paths: [], then: otherwise };
  const all = complete ? [...rules, rest] : rules;
  const services = new Map<string, Upstream>();
  const serviceOf = (action: Action): string => {
    const upstream = action.kind === "forward" ? action.to : { origin: answersFrom };
    const found = [...services].find(([, { origin }]) => origin === upstream.origin)?.[0];
    const service = found ?? `${name}-${services.size + 1}`;
    services.set(service, upstream);
    return service;
  };
  const routers = all.flatMap((rule, index): Lines => [
    ...comments(rule.why),
    `${name}-${rule.name}:`,
    [
      `rule: "${routerRule(rule, host)}"`,
      `priority: ${1000 + all.length - index}`,
      // A method that is answered apart cannot be told from the rest here: the service does it, and forwards the rest.
      ...(rule.then.kind === "redirect"
        ? [`middlewares: ["${name}-${rule.name}"]`, "service: noop@internal"]
        : [`service: ${serviceOf(rule.byMethod?.length ? { kind: "files" } : rule.then)}`]),
      ...(site.tls === undefined ? [] : [tlsLine(site)]),
    ],
  ]);
  const redirects = all.flatMap(({ name: rule, then }): Lines =>
    then.kind === "redirect"
      ? [
          `${name}-${rule}:`,
          ["redirectRegex:", [`regex: "^https?://[^/]+(.*)$"`, `replacement: "${then.to}\${1}"`]],
        ]
      : [],
  );
  const transports = [...services].filter(([, { origin }]) => origin.startsWith("https:"));
  return [
    "http:",
    [
      "routers:",
      routers,
      "",
      ...(redirects.length === 0 ? [] : ["middlewares:", redirects, ""]),
      "services:",
      [...services].flatMap(([service, { origin }]): Lines => [
        `${service}:`,
        [
          "loadBalancer:",
          [
            // The new server's own proxy chooses the site by the Host header; ours knows the old name only.
            `passHostHeader: ${origin === answersFrom}`,
            ...(origin.startsWith("https:") ? [`serversTransport: ${service}`] : []),
            "servers:",
            [`- url: "${origin}"`],
          ],
        ],
      ]),
      ...(transports.length === 0
        ? []
        : [
            "",
            "serversTransports:",
            transports.flatMap(([service, { origin, authorities }]): Lines => [
              `${service}:`,
              [
                `serverName: "${new URL(origin).hostname}"`,
                ...(authorities === undefined ? [] : ["rootCAs:", [`- "${authorities}"`]]),
              ],
            ]),
          ]),
    ],
    ...certificateLines(site),
  ];
}

/** Without a resolver Traefik serves a certificate that it has for the host already, or else its own default one. */
const tlsLine = ({ certificateResolver: resolver }: Site) =>
  resolver === undefined ? "tls: {}" : `tls: { certResolver: ${JSON.stringify(resolver)} }`;

function certificateLines({ tls }: Site): Lines {
  if (tls === undefined || tls === "automatic") return [];
  return ["tls:", ["certificates:", [`- certFile: "${tls.certificate}"`, [`keyFile: "${tls.key}"`]]]];
}

function routerRule({ paths }: Pick<Rule, "paths">, host: string): string {
  if (paths.length === 0) return host;
  return `(${host}) && (${paths.map(pathRule).join(" || ")})`;
}

/** Inside a quoted YAML text, in which a backslash is written twice. */
function pathRule(pattern: PathPattern): string {
  if (isSinglePath(pattern)) return `Path(\`${pattern}\`)`;
  if (pattern.endsWith("/**") && isSinglePath(pattern.slice(0, -3)))
    return `PathPrefix(\`${pattern.slice(0, -2)}\`)`;
  return `PathRegexp(\`^${patternSource(pattern).replaceAll("\\", "\\\\")}$\`)`;
}
