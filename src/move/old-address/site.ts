import { MigrationError } from "../../errors.ts";
import type { Untouched } from "../../old-address/untouched.ts";
import type { Behaviour, Endpoint, ProxyWriter, Site, Version } from "../../proxies/answer.ts";
import { comments } from "../../proxies/lines.ts";
import { isOurs, MARK } from "../../proxies/mark.ts";
import { PROXIES, type ProxyName } from "../../proxies/proxies.ts";
import { traefikWith } from "../../proxies/traefik.ts";
import type { Finding } from "../../report/finding.ts";
import type { Files } from "../../system/files/files.ts";
import { quoteShellWord } from "../../system/shell-quoting.ts";
import type { System } from "../../system/system.ts";
import { assertParentFolder } from "../disk-space.ts";

/** For which program a file is written, and what it says beside the answers. All paths are absolute. */
export interface SiteOrder {
  readonly proxy: ProxyName | "traefik";
  /** A complete site, or only the rules for a site that exists. */
  readonly form: "site" | "snippet";
  readonly old: URL;
  readonly listen: readonly Endpoint[];
  /** Undefined for those that certbot writes, or that Caddy and Traefik obtain themselves. */
  readonly certificate: { readonly certificate: string; readonly key: string } | undefined;
  /** Of Traefik. */
  readonly certificateResolver: string | undefined;
  /** Folder, or web server, for all paths that are not the homeserver's. */
  readonly webRoot: string | undefined;
  readonly webServer: string | undefined;
  /** PEM file with the authorities that sign the new server's certificate. */
  readonly authorities: string | undefined;
  /** Where `serve` listens, for Traefik. */
  readonly answersFrom: string;
  /** Undefined: the file is only shown. */
  readonly out: string | undefined;
  readonly dryRun: boolean;
}

export interface SiteResult {
  readonly kind: "shown" | "dry-run" | "written";
  readonly title: string;
  readonly text: string;
  readonly path: string | undefined;
  /** Where the file belongs and how it is checked and loaded. */
  readonly install: readonly string[];
  readonly findings: readonly Finding[];
}

/**
 * Writes the file for a web server. Never replaces a file that synlift did not write. Throws `bad-usage` for what cannot be
 * written for the program, and what writing a file throws.
 */
export async function writeSite(
  order: SiteOrder,
  what: { readonly head: readonly string[]; readonly behaviour: (untouched: Untouched) => Behaviour },
  { files, programs }: Pick<System, "files" | "programs">,
): Promise<SiteResult> {
  const { proxy, form, out, dryRun } = order;
  if (proxy === "traefik" && form === "snippet")
    throw new MigrationError("bad-usage", "--snippet: Traefik has none, its routers apply beside others", {
      hint: "leave out --snippet",
    });
  if (order.certificateResolver !== undefined && proxy !== "traefik")
    throw new MigrationError("bad-usage", "--cert-resolver: only Traefik has certificate resolvers", {
      hint: "leave out --cert-resolver, or give --for traefik",
    });
  if (order.old.protocol === "http:" && (order.certificate ?? order.certificateResolver) !== undefined)
    throw new MigrationError(
      "bad-usage",
      `--old: ${order.old.origin} is without encryption, and has no use for a certificate`,
      { hint: "write https:// in --old, or leave out --certificate and --cert-resolver" },
    );
  const writer: ProxyWriter = proxy === "traefik" ? traefikWith(order.answersFrom) : PROXIES[proxy];
  const version = proxy === "nginx" ? await nginxVersion(programs) : undefined;
  const site = siteOf(order);
  const untouched = untouchedOf(order, writer);
  const behaviour = what.behaviour(untouched);
  const body =
    form === "site" ? writer.site(behaviour, site, version) : writer.snippet(behaviour, `synlift-${NAME}`);
  const head = comments([...what.head, ""].map((line) => line.replaceAll(/[^\x20-\x7e]/g, "?")));
  const text = `${MARK}. ${head.join("\n").replace(/^# /, "")}\n\n${body}`;
  if (out !== undefined) await assertMayWrite(out, files);
  const kind = out === undefined ? "shown" : dryRun ? "dry-run" : "written";
  // Readable for the web server's account: there is no secret in it.
  if (kind === "written") await files.writeAtomically(out!, text, 0o644);
  return {
    kind,
    title: writer.title,
    text,
    path: out,
    install: writer.install[form].map((line) =>
      line.replaceAll("FILE", out === undefined ? "FILE" : quoteShellWord(out.split("/").at(-1)!)),
    ),
    findings: await siteFindings(order, { site, untouched, version }, files),
  };
}

const NAME = "old-address";

function siteOf({ old, listen, certificate, certificateResolver, proxy }: SiteOrder): Site {
  const host = old.hostname;
  if (old.protocol === "http:") return { hosts: [host], listen, tls: undefined };
  const tls =
    certificate ??
    (proxy === "caddy" || proxy === "traefik"
      ? ("automatic" as const)
      : {
          certificate:
            proxy === "haproxy" ? `/etc/haproxy/${host}.pem` : `/etc/letsencrypt/live/${host}/fullchain.pem`,
          key: `/etc/letsencrypt/live/${host}/privkey.pem`,
        });
  const isUsual = listen.some(({ port }) => port === 443);
  return {
    hosts: [host],
    listen,
    tls,
    certificateResolver,
    redirectFrom: isUsual ? { port: 80 } : undefined,
  };
}

/** In a snippet, and behind Traefik, other paths are not this file's. */
function untouchedOf({ form, webRoot, webServer, authorities }: SiteOrder, { does }: ProxyWriter): Untouched {
  if (form === "snippet") return { kind: "nothing" };
  if (webServer !== undefined) return { kind: "server", to: { origin: webServer, authorities } };
  return does.files ? { kind: "folder", path: webRoot ?? "/var/www/html" } : { kind: "nothing" };
}

async function assertMayWrite(path: string, files: Files): Promise<void> {
  await assertParentFolder(path, "--out", files);
  if ((await files.stat(path)) === undefined) return;
  if (!isOurs(await files.readText(path)))
    throw new MigrationError("bad-usage", `--out: ${path} exists, and synlift did not write it`, {
      hint: "choose another name, or move that file away",
    });
}

/** nginx prints it to standard error; undefined when there is none here. */
async function nginxVersion(programs: System["programs"]): Promise<Version> {
  const path = (await programs.find("nginx")) ?? (await programs.find("/usr/sbin/nginx"));
  if (path === undefined) return undefined;
  const printed = await programs
    .run({ name: "sh", args: ["-c", '"$0" -v 2>&1', path], timeout: 10_000 })
    .catch((error: unknown) => {
      if (error instanceof MigrationError) return "";
      throw error;
    });
  const found = /nginx\/(\d+(?:\.\d+)*)/.exec(printed)?.[1];
  return found?.split(".").map(Number);
}

async function siteFindings(
  { proxy, form, old, listen }: SiteOrder,
  {
    site,
    untouched,
    version,
  }: { readonly site: Site; readonly untouched: Untouched; readonly version: Version },
  files: Files,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  if (proxy === "nginx" && form === "site" && site.tls !== undefined && version === undefined)
    findings.push({
      id: "proxy-version",
      level: "note",
      sentence:
        "there is no nginx on this host to ask for its version; HTTP/2 is written as before nginx 1.25.1",
      hint: "run this on the host of the web server; newer versions warn about the older spelling and accept it",
    });
  if (form === "site" && untouched.kind === "nothing")
    findings.push({
      id: "other-paths",
      level: "warning",
      sentence: `/.well-known and all other paths of ${old.hostname} get 404 from this file`,
      hint: "give --web-server URL: what serves them now; certificates may be renewed through it, and clients find the homeserver",
    });
  if (proxy === "traefik" && site.tls === "automatic" && site.certificateResolver === undefined)
    findings.push({
      id: "certificate-resolver",
      level: "warning",
      sentence: `the file names nothing that obtains a certificate: unless Traefik has one for ${old.hostname} already, it serves its default certificate, which no client accepts`,
      hint: "give --cert-resolver NAME, as certificatesResolvers in Traefik's configuration calls it, or --certificate and --key",
    });
  if (site.tls !== undefined && site.tls !== "automatic" && form === "site") {
    const { certificate } = site.tls;
    if ((await files.stat(certificate)) === undefined)
      findings.push({
        id: "certificate-path",
        level: "note",
        sentence: `this host has no ${certificate}`,
        hint:
          proxy === "haproxy"
            ? "HAProxy wants certificate and key in one file: cat fullchain.pem privkey.pem > FILE, and --certificate FILE"
            : "give --certificate and --key, or run this on the host of the web server",
      });
  }
  if (form === "site" && old.protocol === "https:" && !listen.some(({ port }) => port === 8448))
    findings.push({
      id: "federation-port",
      level: "note",
      sentence: "other servers may still come to port 8448 of this host, where this file does not listen",
      hint: "if the old server listened there, add --listen 443 --listen 8448; `synlift plan` shows the way that other servers take",
    });
  return findings;
}
