import { MigrationError } from "../../errors.ts";

/**
 * Parses libpq's two kinds of connection strings: `host=… dbname=…` and `postgresql://…`
 * (PostgreSQL documentation, 34.1.1). Returns the keywords; they are interpreted by libpq.
 * Throws `bad-usage`; the message never quotes the text, which may hold a password.
 */
export function parseConnection(text: string): Record<string, string> {
  if (/^postgres(ql)?:\/\//.test(text)) return parseUri(text);
  if (!text.includes("=")) return { dbname: text };
  return parseKeywords(text);
}

function parseUri(text: string): Record<string, string> {
  // libpq has no URI fragments: a # or a ? before the @ is part of the password.
  const found = /^postgres(?:ql)?:\/\/(?:([^@/]*)@)?([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/s.exec(text);
  if (!found) throw unreadable();
  const [, login, hosts = "", dbname, query] = found;
  const out: Record<string, string> = {};
  const [user, ...password] = (login ?? "").split(":");
  if (user) out["user"] = decoded(user);
  if (password.join(":") !== "") out["password"] = decoded(password.join(":"));
  const places = hosts === "" ? [] : hosts.split(",").map(hostAndPort);
  if (places.length > 0) out["host"] = places.map(({ host }) => host).join(",");
  if (places.some(({ port }) => port !== "")) out["port"] = places.map(({ port }) => port).join(",");
  if (dbname) out["dbname"] = decoded(dbname);
  for (const pair of (query ?? "").split("&").filter(Boolean)) {
    const [key, ...value] = pair.split("=");
    if (value.length !== 1) throw unreadable();
    out[decoded(key!)] = decoded(value.join("="));
  }
  return out;
}

function hostAndPort(place: string): { host: string; port: string } {
  const found = /^(\[[^\]]*\]|[^:]*)(?::(\d*))?$/.exec(place);
  if (!found) throw unreadable();
  return { host: decoded(found[1]!.replace(/^\[|\]$/g, "")), port: found[2] ?? "" };
}

function parseKeywords(text: string): Record<string, string> {
  const out: Record<string, string> = {};
  const pair = /\s*([A-Za-z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|(?!')((?:[^\s\\]|\\.)*))(?=\s|$)/gsy;
  for (let end = 0; text.slice(end).trim() !== ""; end = pair.lastIndex) {
    pair.lastIndex = end;
    const found = pair.exec(text);
    if (!found) throw unreadable();
    out[found[1]!] = (found[2] ?? found[3] ?? "").replace(/\\(.)/gs, "$1");
  }
  return out;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw unreadable();
  }
}

const unreadable = () =>
  new MigrationError("bad-usage", "the database connection string is not valid", {
    hint: "use the form 'host=db.example user=me dbname=mine' or postgresql://me@db.example/mine",
  });
