import { resolve } from "node:path";
import { z } from "zod";
import { MigrationError } from "../../errors.ts";
import type { SiteOrder } from "../../move/old-address/site.ts";
import { addressFamily, bareHost } from "../../system/ip-address.ts";
import type { System } from "../../system/system.ts";
import { optionGroup } from "../command.ts";
import { conflicts, DRY_RUN, requires, type Rule } from "./shared.ts";

/** The base address of a homeserver or another web server, as in https://matrix.example.org. */
export const originSchema = z
  .url({ protocol: /^https?$/, error: "must begin with https://, as https://matrix.example.org" })
  .refine(
    (text) => {
      const url = URL.parse(text);
      return (
        url !== null && url.pathname === "/" && url.search + url.hash + url.username + url.password === ""
      );
    },
    { error: "must be a scheme, a host and perhaps a port" },
  )
  .transform((text) => new URL(text).origin);

const PROGRAMS = ["nginx", "caddy", "apache", "haproxy", "traefik"] as const;

/** For which web server a file is written. */
export const SITE_OPTIONS = optionGroup({
  heading: "Web server of the old address",
  options: [
    {
      flags: "--old <url>",
      about: "base address of the old homeserver, as clients use it",
      required: true,
    },
    {
      flags: "--for <program>",
      about: `program that the file is for: ${PROGRAMS.join(", ")}`,
      required: true,
    },
    { flags: "--out <file>", about: "write the file; without it, it is only shown" },
    DRY_RUN,
    {
      flags: "--snippet",
      about: "only the rules, to be included in a site that exists: all its other paths stay as they are",
    },
    {
      flags: "--listen <[address:]port>",
      about: "where to listen",
      many: true,
      default: "443, and 80 to redirect",
    },
    { flags: "--certificate <file>", about: "certificate with its chain", default: "that of certbot" },
    { flags: "--key <file>", about: "key of the certificate" },
    {
      flags: "--cert-resolver <name>",
      about: "for traefik: what obtains the certificate, as its configuration names it",
    },
    {
      flags: "--web-root <folder>",
      about: "folder of all other paths: /.well-known, certificate challenges, an Element Web",
      default: "/var/www/html",
    },
    { flags: "--web-server <url>", about: "web server for all other paths, instead of a folder" },
    {
      flags: "--ca <file>",
      about: "authorities that sign the new server's certificate",
      default: "this host's",
    },
    {
      flags: "--answers-from <url>",
      about: "for traefik, which cannot answer by itself: where `serve` listens",
      default: "http://127.0.0.1:8089",
    },
  ],
  schema: {
    old: originSchema,
    for: z.string().pipe(z.enum(PROGRAMS, { error: `must be one of ${PROGRAMS.join(", ")}` })),
    out: z.string().min(1).optional(),
    ...DRY_RUN.schema,
    snippet: z.boolean().default(false),
    listen: z.array(z.string().transform((text) => endpointOf(text))).default([]),
    certificate: z.string().min(1).optional(),
    key: z.string().min(1).optional(),
    certResolver: z
      .string()
      .regex(/^[\w.-]+$/, { error: "is not a name" })
      .optional(),
    webRoot: z.string().min(1).optional(),
    webServer: originSchema.optional(),
    ca: z.string().min(1).optional(),
    answersFrom: originSchema.default("http://127.0.0.1:8089"),
  },
  read(given, { machine }: Pick<System, "machine">): SiteOrder {
    const here = (path: string | undefined) =>
      path === undefined ? undefined : resolve(machine.folder, path);
    const old = new URL(given.old);
    const { certificate } = given;
    const usual = old.port === "" ? (old.protocol === "https:" ? 443 : 80) : Number(old.port);
    return {
      proxy: given.for,
      form: given.snippet ? "snippet" : "site",
      old,
      listen: given.listen.length === 0 ? [{ port: usual }] : given.listen,
      certificate:
        certificate === undefined
          ? undefined
          : { certificate: here(certificate)!, key: here(given.key) ?? here(certificate)! },
      certificateResolver: given.certResolver,
      webRoot: here(given.webRoot),
      webServer: given.webServer,
      authorities: here(given.ca),
      answersFrom: given.answersFrom,
      out: here(given.out),
      dryRun: given.dryRun,
    };
  },
});

/** For a schema with a certificate and a place for all other paths. */
export const ANSWERING_RULES = [requires("key", "certificate"), conflicts("webRoot", "webServer")] as const;

/** For a schema with these options. */
export const SITE_RULES = [...ANSWERING_RULES, conflicts("certResolver", "certificate")] as const;

/** For commands that send requests on: a server cannot send them on to itself. */
export const TWO_ADDRESSES: Rule<"old" | "new"> = {
  names: ["old", "new"],
  fault: (options) =>
    options["old"] === options["new"]
      ? { option: "new", message: "is the old address, which would send its requests to itself" }
      : undefined,
};

/** "443", "127.0.0.1:8443", "[::1]:8443". Throws `bad-usage`. */
export function endpointOf(text: string): { readonly address: string | undefined; readonly port: number } {
  const [, address, digits] = /^(?:(\[[\da-f:]+\]|[\d.]+):)?(\d{1,5})$/i.exec(text) ?? [];
  const port = Number(digits ?? "-1");
  const bare = address === undefined ? undefined : bareHost(address);
  if (digits === undefined || port > 65_535 || (bare !== undefined && addressFamily(bare) === 0))
    throw new MigrationError("bad-usage", `--listen: ${text} is not a port, nor an address and a port`, {
      hint: "for example 443, 127.0.0.1:8443 or [::1]:8443",
    });
  return { address: bare, port };
}
