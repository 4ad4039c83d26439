import { resolve } from "node:path";
import { z } from "zod";
import {
  type Expected,
  NOTHING_EXPECTED,
  parseAddress,
  parseClientUrl,
  parseFederation,
  parseKey,
  readExpected,
} from "../../delegation/check/expected.ts";
import { MigrationError } from "../../errors.ts";
import { parseDate } from "../../move/plan/dates.ts";
import { parseDnsServer } from "../../system/dns/dns.ts";
import { secretLine } from "../../system/files/secret-line.ts";
import type { System } from "../../system/system.ts";
import { optionGroup } from "../command.ts";

/** "90", "90s", "15m", "2h", "3d" in milliseconds. Throws `bad-usage`. */
export function parseTime(text: string): number {
  const [, number, unit = "s"] = /^(\d{1,6})([smhd]?)$/.exec(text) ?? [];
  const factor = { s: 1, m: 60, h: 3600, d: 86_400 }[unit || "s"] ?? 0;
  const milliseconds = Number(number ?? 0) * factor * 1000;
  if (milliseconds > 0) return milliseconds;
  throw new MigrationError("bad-usage", `${text} is not a time`, {
    hint: "write seconds, or 90s, 15m, 2h, 3d",
  });
}

/** The server name of an argument; whether it is valid is found out by who asks for it. */
export const SERVER_NAME = {
  name: "SERVER_NAME",
  about: "server_name of the homeserver, as user ids end with it",
};
export const serverNameArgument = z.string().min(1).max(255);

/** How DNS and web servers are asked. */
export const ASKING_OPTIONS = optionGroup({
  heading: "How to ask",
  options: [
    {
      flags: "--resolver <address>",
      about: "DNS resolver to use; one on another port than 53 has the zones' own servers there too",
      many: true,
      default: "this host's",
    },
    {
      flags: "--allow-private <host>",
      about: "also connect to private addresses of this host, which only the server itself names",
      many: true,
    },
    { flags: "--timeout <time>", about: "limit of each request, such as 10s", default: "10s" },
    { flags: "--time-limit <time>", about: "limit of all requests together", default: "2m" },
  ],
  schema: {
    resolver: z.array(z.string().transform(parseDnsServer)).default([]),
    allowPrivate: z.array(z.string().min(1)).default([]),
    timeout: z.string().default("10s").transform(parseTime),
    timeLimit: z.string().default("2m").transform(parseTime),
  },
  read: ({ resolver, allowPrivate, timeout, timeLimit }) => ({
    resolvers: resolver,
    privateHosts: allowPrivate,
    timeout,
    timeLimit,
  }),
});

/** How clients and servers should find the homeserver. */
export const EXPECTED_OPTIONS = optionGroup({
  heading: "What to expect",
  options: [
    { flags: "--expect <file>", about: "the expected.json that delegation files wrote" },
    { flags: "--client-url <url>", about: "base URL for clients: https://matrix.example.org" },
    { flags: "--federation <host>", about: "what m.server names, with its port: matrix.example.org:443" },
    {
      flags: "--signing-key <key>",
      about: "key id and public key of the old server: 'ed25519:a_EUHY AbCd…'",
      many: true,
    },
    { flags: "--address <ip>", about: "address of the new host: names may lead to no other", many: true },
  ],
  schema: {
    expect: z.string().min(1).optional(),
    clientUrl: z.string().transform(parseClientUrl).optional(),
    federation: z.string().transform(parseFederation).optional(),
    signingKey: z.array(z.string().transform(parseKey)).default([]),
    address: z.array(z.string().transform(parseAddress)).default([]),
  },
  /** An option counts more than the file. Throws `bad-usage`, `file-missing`. */
  async read(given, serverName: string, { files, machine }: System): Promise<Expected> {
    const path = given.expect === undefined ? undefined : resolve(machine.folder, given.expect);
    const base =
      path === undefined ? NOTHING_EXPECTED : readExpected(await files.readText(path), { path, serverName });
    return {
      ...base,
      clientUrl: given.clientUrl ?? base.clientUrl,
      federation: given.federation ?? base.federation,
      keys: given.signingKey.length > 0 ? given.signingKey : base.keys,
      addresses: given.address.length > 0 ? given.address : base.addresses,
    };
  },
});

/** "192.0.2.7" or "matrix.example.org=192.0.2.7". Throws `bad-usage`. */
export function parseAt(text: string): { host: string | undefined; address: string } {
  const cut = text.lastIndexOf("=");
  const host = cut < 0 ? undefined : text.slice(0, cut).toLowerCase();
  return { host, address: parseAddress(text.slice(cut + 1)) };
}

/** A login that `delegation check` makes. */
export const LOGIN_OPTIONS = optionGroup({
  heading: "Login",
  options: [
    {
      flags: "--login <user>",
      about: "log in as this user and out again, to see which base URL clients are told",
    },
    { flags: "--password-file <file>", about: "file that contains only the password of that user" },
  ],
  schema: { login: z.string().min(1).optional(), passwordFile: z.string().min(1).optional() },
  /** Throws `bad-usage`, `file-missing`. */
  async read({ login, passwordFile }, { files, machine }: System) {
    if (login === undefined || passwordFile === undefined) return undefined;
    const path = resolve(machine.folder, passwordFile);
    const password = secretLine(await files.readText(path));
    if (password !== "" && !/[\r\n\0]/.test(password)) return { user: login, password };
    throw new MigrationError("bad-usage", `${path} does not hold one line with a password`, {
      hint: "put the password there alone",
    });
  },
});

/** Where the address moves to, and when. */
export const MOVED_ADDRESS = optionGroup({
  heading: "The new address",
  options: [
    {
      flags: "--client-url <url>",
      about: "base URL for clients: https://matrix.example.org",
      required: true,
    },
    {
      flags: "--federation <host>",
      about: "what m.server will name, with its port: matrix.example.org:443",
      required: true,
    },
    { flags: "--address <ip>", about: "address of the new host, for the DNS records", many: true },
    {
      flags: "--when <date>",
      about: "when DNS will be changed: '2026-12-01 02:00 UTC'",
      default: "as early as is safe",
    },
  ],
  schema: {
    clientUrl: z.string().transform(parseClientUrl),
    federation: z.string().transform(parseFederation),
    address: z.array(z.string().transform(parseAddress)).default([]),
    when: z.string().transform(parseDate).optional(),
  },
  read: ({ clientUrl, federation, address, when }) => ({ clientUrl, federation, addresses: address, when }),
});
