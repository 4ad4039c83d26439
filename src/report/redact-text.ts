import { isCaseInsensitive, Placeholders, type Redaction } from "./placeholders.ts";

/** What else is redacted, in addition to the given names, Matrix ids and addresses. */
export interface RedactOptions {
  /** Redacts folders and files in absolute paths, except those that every system has and those in `keep`. */
  readonly paths?: { readonly keep: readonly string[] };
  /**
   * Redacts what looks like the name of a host, given or not. Names of files do not; nor do modules, settings and the
   * like, by their first word.
   */
  readonly hosts?: { readonly notBehind: readonly string[] };
}

/**
 * Redacts names in texts. The same name always gets the same placeholder.
 *
 * - The given names, the longest first, as whole words: "old" is not touched in "older". A name with a dot, a colon or
 *   an @ in it says whose it is wherever it stands: a longer word around it gets a stand-in of its own.
 * - What looks like an id (`@user:host`, `#name:host`, `!name:host`), like `user@host`, or like an address of IPv4 or
 *   IPv6, given or not. Loopback and "any" addresses stay, since they are everybody's, and so does `root@`.
 * - With the option `paths`, the user-chosen parts of paths.
 */
export function textRedactor(
  hidden: readonly Redaction[],
  options: RedactOptions = {},
): (text: string) => string {
  const standIns = new Placeholders(hidden.filter(({ text }) => text !== ""));
  const names = namesPattern(hidden);
  const everything = new RegExp(
    [
      ...PATTERNS,
      ...(options.paths ? [pathPattern(hidden)] : []),
      ...(options.hosts ? [SITE] : []),
      ...(names === undefined ? [] : [names]),
    ].join("|"),
    "gu",
  );
  const namesAlone = names === undefined ? undefined : new RegExp(names, "gu");

  const word = (match: string, groups: Groups) =>
    (groups["longer"] === undefined ? standIns.given(match) : undefined) ??
    standIns.for("name", match.toLowerCase());
  const replaceNames = (text: string): string =>
    namesAlone === undefined ? text : text.replace(namesAlone, (...all) => word(all[0], groupsOf(all)));
  const host = (name: string) => standIns.for("host", name.toLowerCase());
  const address = (match: string, canonical: string | undefined) => {
    if (canonical === undefined) return replaceNames(match);
    const given = standIns.given(match) ?? standIns.given(canonical);
    return given ?? (GENERIC_ADDRESSES.test(canonical) ? canonical : standIns.for("address", canonical));
  };
  const kept = new Set([...SYSTEM_FOLDERS, ...(options.paths?.keep ?? [])]);

  return (text) =>
    text.replace(everything, (...all) => {
      const match = all[0];
      const groups = groupsOf(all);
      const { sign, name, server, port = "", user, domain, v4, v6, path, site } = groups;
      if (name !== undefined && server !== undefined) {
        const given = standIns.given(`${sign!}${name}:${server}`);
        if (given !== undefined) return given + port;
        const kind = sign === "@" ? "user" : "name";
        const person = standIns.given(name) ?? standIns.for(kind, `${name}:${server}`.toLowerCase());
        return `${sign!}${person}:${host(server)}${port}`;
      }
      if (user !== undefined && domain !== undefined) {
        const person = user === "root" ? user : standIns.for("user", `${user}@${domain}`.toLowerCase());
        return standIns.given(match) ?? `${standIns.given(user) ?? person}@${host(domain)}`;
      }
      if (v4 !== undefined) return address(v4, canonicalV4(v4));
      if (v6 !== undefined) return address(v6, canonicalV6(v6));
      if (path !== undefined) return redactPath(path, standIns, kept);
      if (site !== undefined)
        return standIns.given(site) === undefined && !isSite(site, options.hosts?.notBehind ?? [])
          ? replaceNames(site)
          : host(site);
      return word(match, groups);
    });
}

/** Replaces the longest given name at the beginning first, then each part that is not a generic folder. */
function redactPath(path: string, standIns: Placeholders, kept: ReadonlySet<string>): string {
  const [, body = "", ending = ""] = /^(.*?)([.!]*)$/su.exec(path)!;
  const parts = body.split("/");
  for (let count = parts.length; count > 1; count -= 1) {
    const given = standIns.given(parts.slice(0, count).join("/"));
    if (given !== undefined)
      return [given, ...partsOf(parts.slice(count), standIns, kept)].join("/") + ending;
  }
  return partsOf(parts, standIns, kept).join("/") + ending;
}

function partsOf(parts: readonly string[], standIns: Placeholders, kept: ReadonlySet<string>): string[] {
  return parts.map((part, index) => {
    const given = standIns.given(part);
    if (given !== undefined) return given;
    if (part === "" || part === "~" || part === ".." || kept.has(part)) return part;
    // The file extension reveals nothing private.
    const ending = index === parts.length - 1 ? /.\.([a-z]{1,5}[0-9]?)$/.exec(part)?.[1] : undefined;
    if (ending === undefined) return standIns.for("folder", part);
    return `${standIns.for("file", part)}.${standIns.given(ending) ?? ending}`;
  });
}

function namesPattern(hidden: readonly Redaction[]): string | undefined {
  const ordered = hidden.filter(({ text }) => text !== "").sort(longestFirst);
  if (ordered.length === 0) return undefined;
  const whole = ordered.map((one) => {
    const begins = new RegExp(`^${LETTER}`, "u").test(one.text) ? BEGINNING : "";
    const ends = new RegExp(`${LETTER}$`, "u").test(one.text) ? `(?!${LETTER})` : "";
    return `${begins}${spelled(one)}${ends}`;
  });
  const telling = ordered.filter(({ text }) => /[.:@]/.test(text)).map(spelled);
  if (telling.length === 0) return `(?:${whole.join("|")})`;
  const any = `(?:${telling.join("|")})`;
  const longer = `(?<longer>(?<![%\\\\]|${LETTER})${LETTER}+${any}${LETTER}*|${any}${LETTER}+)`;
  return `(?:${whole.join("|")})|${longer}|${any}`;
}

/** Not what comes behind a host in a URL: a path begins where a word does. A given one may have spaces in it. */
function pathPattern(hidden: readonly Redaction[]): string {
  const given = hidden.filter(({ text }) => text.startsWith("/")).sort(longestFirst);
  const begins = given.map((one) => `${spelled(one)}(?!${LETTER})(?:${PART})*|`).join("");
  return `(?<![\\p{L}\\p{N}\\p{M}._~/\\-])(?<path>(?:${begins}~?(?:${PART})+)/?)`;
}

const longestFirst = (a: Redaction, b: Redaction) => b.text.length - a.text.length;
const spelled = (one: Redaction) =>
  isCaseInsensitive(one) ? `(?i:${escaped(one.text)})` : escaped(one.text);
export const escaped = (text: string) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");

type Groups = Readonly<Record<string, string | undefined>>;
const groupsOf = (all: readonly unknown[]) => all.at(-1) as Groups;

/** Undefined for text that only looks like an IPv4 address. */
function canonicalV4(text: string): string | undefined {
  return text.split(".").every((part) => Number(part) <= 255) ? text : undefined;
}

function canonicalV6(text: string): string | undefined {
  const address = URL.canParse(`http://[${text}]`) ? new URL(`http://[${text}]`).hostname : undefined;
  return address?.slice(1, -1);
}

const LETTER = "[\\p{L}\\p{N}\\p{M}]";
/** The beginning of a word, also after escapes such as "%3A" and "\n". */
const BEGINNING = `(?:(?<!${LETTER})|(?<=%[0-9A-Fa-f]{2}|\\\\[bfnrt]))`;
const V4 = "(?:\\d{1,3}\\.){3}\\d{1,3}";
const HOST = "(?:\\[[0-9A-Fa-f:.]+\\]|[\\p{L}\\p{N}](?:[\\p{L}\\p{N}.\\-]*[\\p{L}\\p{N}])?)";
const DOMAIN = `(?:(?:[\\p{L}\\p{N}\\-]+\\.)+\\p{L}(?:[\\p{L}\\p{N}\\-]*[\\p{L}\\p{N}])?|${V4}(?!${LETTER}|\\.\\d)|\\[[0-9A-Fa-f:.]+\\])`;
/** "worker@one.service" is a systemd unit, not a mail address. */
const UNIT = "(?![\\p{L}\\p{N}_.\\-]*\\.(?:service|socket|timer|target|mount|slice)(?![\\p{L}\\p{N}]))";
const PATTERNS = [
  `${BEGINNING}(?<sign>[@#!])(?<name>[^\\s:"'\`<>()\\[\\]{},;@#]+):(?<server>${HOST})(?<port>:\\d+(?![\\p{L}\\p{N}]|\\.\\d))?`,
  `(?<![\\p{L}\\p{N}._%+\\-])(?<user>[\\p{L}\\p{N}._%+\\-]+)@${UNIT}(?<domain>${DOMAIN})`,
  `${BEGINNING}(?=[0-9A-Fa-f]*:[0-9A-Fa-f]*:)(?<v6>[0-9A-Fa-f:]{2,39}(?:${V4})?)(?![\\p{L}\\p{N}:]|\\.\\d)`,
  `${BEGINNING}(?<!\\.)(?<v4>${V4})(?![\\p{L}\\p{N}]|\\.\\d)`,
];
const PART = "/[^\\s/\"'`<>|;,()\\[\\]{}:=*?]+";
/** Words joined by dots. What is more than a host's name, such as a setting with an underscore, is not. */
const SITE = `${BEGINNING}(?<![_.\\-])(?<site>(?:[\\p{L}\\p{N}](?:[\\p{L}\\p{N}\\-]*[\\p{L}\\p{N}])?\\.)+(?:xn--[A-Za-z0-9\\-]+|\\p{L}{2,}))(?![\\p{L}\\p{N}_(\\-]|\\.[\\p{L}\\p{N}])`;

/** Other names with dots are files, or begin with one of these words. */
function isSite(name: string, others: readonly string[]): boolean {
  const labels = name.toLowerCase().split(".");
  return !others.includes(labels[0]!) && !ENDINGS.has(labels.at(-1)!);
}

const ENDINGS = new Set(
  (
    "service socket timer target mount slice scope conf yaml yml json ndjson html txt log md py pyc ts js mjs cjs so c h " +
    "sh sql db gz gpg tar zst xz pem key crt asc part lock tmp unfinished partial fenced passphrase password spool clear " +
    "port pid sock xml ini toml cfg args name names enabled config host path user url type dump png jpg pages"
  ).split(" "),
);
const GENERIC_ADDRESSES = /^(127\.\d+\.\d+\.\d+|0\.0\.0\.0|::1?|)$/;
/** Folders that every host has. */
export const SYSTEM_FOLDERS: readonly string[] =
  "bin boot dev etc home lib lib64 media mnt opt proc root run sbin srv sys tmp usr var local share cache log backups systemd system user conf.d www".split(
    " ",
  );
