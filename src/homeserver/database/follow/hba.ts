import type { HbaRule, Place } from "./facts.ts";
import { FOLLOW_ROLE } from "./record.ts";

/** A connection, as PostgreSQL sees it. */
export interface Connecting {
  readonly place: Place;
  /** Its address; null for the socket. */
  readonly client: string | null;
}

/** A physical replication connection, or the name of a database: logical replication connects to one. */
export type Purpose = { readonly replication: true } | { readonly database: string };

/** The first line of pg_hba.conf that decides on the role; undefined when none does, and PostgreSQL refuses. */
export const ruleFor = (
  rules: readonly HbaRule[],
  { client }: Pick<Connecting, "client">,
  purpose: Purpose,
): HbaRule | undefined =>
  rules.find(
    (rule) =>
      isOfType(rule, client) && namesDatabase(rule, purpose) && namesRole(rule) && namesClient(rule, client),
  );

/**
 * Whether a rule lets the role in with its password. `trust` does, too; anything else asks for what does not come through the
 * tunnel: the account at its other end, a certificate, a ticket.
 */
export const takesPassword = (rule: HbaRule | undefined | null): boolean =>
  rule != null && ["scram-sha-256", "md5", "password", "trust"].includes(rule.method);

/** The line that lets it in. */
export function neededLine({ client }: Pick<Connecting, "client">, databases: readonly string[]): string {
  const names = databases.map((name) => (/^[\w-]+$/.test(name) ? name : `"${name}"`)).join(",");
  if (client === null) return `local ${names} ${FOLLOW_ROLE} scram-sha-256`;
  return `host ${names} ${FOLLOW_ROLE} ${client}/${client.includes(":") ? 128 : 32} scram-sha-256`;
}

/** For people: "line 12: host all all 127.0.0.1/32 peer". */
export const describeRule = ({ line, type, databases, users, address, netmask, method }: HbaRule) =>
  `line ${line}: ${[type, databases.join(","), users.join(","), address, netmask, method].filter((word) => word !== null).join(" ")}`;

/** libpq uses no TLS on a socket, and the tunnel begins with one: a line for TLS alone never matches. */
function isOfType({ type }: HbaRule, client: string | null): boolean {
  if (client === null) return type === "local";
  return type === "host" || type === "hostnossl" || type === "hostnogssenc";
}

function namesDatabase({ databases }: HbaRule, purpose: Purpose): boolean {
  if ("replication" in purpose) return databases.includes("replication");
  const { database } = purpose;
  return databases.some((name) => {
    if (name === "all") return true;
    if (name === "sameuser" || name === "samerole" || name === "samegroup") return database === FOLLOW_ROLE;
    if (name === "replication") return false;
    return name === database || matchesExpression(name, database);
  });
}

/** The role is a member of nothing but what PostgreSQL brings. */
const namesRole = ({ users }: HbaRule) =>
  users.some((name) => name === "all" || name === FOLLOW_ROLE || matchesExpression(name, FOLLOW_ROLE));

/** From 16 on, a name that begins with a slash is a regular expression. */
function matchesExpression(name: string, value: string): boolean {
  if (!name.startsWith("/")) return false;
  try {
    return new RegExp(name.slice(1)).test(value);
  } catch {
    return false;
  }
}

function namesClient({ address, netmask }: HbaRule, client: string | null): boolean {
  if (client === null) return true;
  if (address === null) return false;
  if (address === "all") return true;
  const isLoopback = client === "::1" || client.startsWith("127.");
  if (address === "samehost" || address === "samenet" || address === "localhost") return isLoopback;
  const [wanted, mask, found] = [address, netmask ?? "", client].map(bitsOf);
  if (!wanted || !found || wanted.length !== found.length) return false;
  // Without a mask it is one address.
  const bits = mask?.length === wanted.length ? mask : "1".repeat(wanted.length);
  return Array.from(bits).every((bit, at) => bit === "0" || wanted[at] === found[at]);
}

/** The bits of an address; undefined for anything else, such as a host name. */
function bitsOf(address: string): string | undefined {
  if (/^\d{1,3}(?:\.\d{1,3}){3}$/.test(address))
    return address
      .split(".")
      .map((part) => Number(part).toString(2).padStart(8, "0"))
      .join("");
  if (!address.includes(":") || address.includes(".")) return undefined;
  const [left = "", right] = address.split("::");
  const words = (text: string) => (text === "" ? [] : text.split(":"));
  const [before, after] = [words(left), words(right ?? "")];
  const zeros = right === undefined ? [] : new Array<string>(8 - before.length - after.length).fill("0");
  return [...before, ...zeros, ...after]
    .map((word) => Number.parseInt(word, 16).toString(2).padStart(16, "0"))
    .join("");
}
