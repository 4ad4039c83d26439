import type { Behaviour, Rule } from "../../proxies/answer.ts";
import { PROXIES, type ProxyName } from "../../proxies/proxies.ts";
import { traefikRoutes } from "../../proxies/traefik.ts";
import { LOW_TTL } from "../affected.ts";
import type { CarriedFile } from "./carry.ts";

/** A configuration file for a web server: its name and its text. */
export interface Snippet {
  readonly name: string;
  readonly text: string;
}

const NAMES: Readonly<Record<ProxyName, string>> = {
  nginx: "matrix-well-known.nginx.conf",
  caddy: "matrix-well-known.caddy",
  apache: "matrix-well-known.apache.conf",
  haproxy: "matrix-well-known.haproxy.cfg",
};

const CORS = {
  "Access-Control-Allow-Origin": "*",
  "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
  "Access-Control-Allow-Headers": "X-Requested-With, Content-Type, Authorization",
};

/** What a web server answers with these files: the same for every program. */
function wellKnownBehaviour(files: readonly CarriedFile[]): Behaviour {
  const rules = files
    .filter(({ isJson, path }) => isJson && /^[\w.~-]+(?:\/[\w.~-]+)*$/.test(path))
    .map(({ path, after }, index): Rule => ({
      // Names have letters only, and each is there once.
      name: `well-known-${String.fromCharCode(97 + Math.floor(index / 26), 97 + (index % 26))}-${path.replaceAll(/[^a-z]+/g, "-").replace(/-+$/, "")}`,
      why: [`https://SERVER_NAME/.well-known/${path}`],
      paths: [`/.well-known/${path}`],
      byMethod: [{ methods: ["OPTIONS"], answer: { kind: "answer", status: 204, headers: CORS } }],
      then: {
        kind: "answer",
        status: 200,
        headers: { ...CORS, "Cache-Control": `max-age=${LOW_TTL}` },
        body: after,
      },
    }));
  return { rules, otherwise: { kind: "answer", status: 404, headers: {} } };
}

/** The files as parts of a site that exists. `answersFrom` is a web server with the files, for Traefik, which has none. */
export function wellKnownSnippets(
  files: readonly CarriedFile[],
  { host, answersFrom }: { readonly host: string; readonly answersFrom: string },
): Snippet[] {
  const behaviour = wellKnownBehaviour(files);
  if (behaviour.rules.length === 0) return [];
  const written = (Object.keys(NAMES) as ProxyName[]).map((name) => {
    const { install } = PROXIES[name];
    const about = install.snippet.map(
      (line) => `# ${line.replaceAll("FILE", NAMES[name]).replace(/^# /, "")}`,
    );
    return {
      name: NAMES[name],
      text: `${about.join("\n")}\n\n${PROXIES[name].snippet(behaviour, "synlift-well-known")}`,
    };
  });
  const traefik = traefikRoutes(
    behaviour,
    { hosts: [host], listen: [{ port: 443 }], tls: "automatic" },
    answersFrom,
  );
  const about = [
    "# In the folder that providers.file.directory names in traefik.yml. Traefik cannot answer by itself:",
    `# ${answersFrom} is a web server with the files below after/, or with one of the other snippets.`,
  ];
  return [...written, { name: "matrix-well-known.traefik.yml", text: `${about.join("\n")}\n\n${traefik}` }];
}
