import { isDeepStrictEqual } from "node:util";
import { asObject } from "../well-known.ts";
import type { FileSeen, Observed } from "./collect.ts";
import { originFault } from "./cors.ts";
import type { Expected } from "./expected.ts";
import { type CheckId, type CheckResult, result } from "./result.ts";

/** Every well-known file at every address of the server name's host. */
export function judgeFiles({ files, order, name, filesStay, direct }: Observed): CheckResult[] {
  const { expected } = order;
  const results: CheckResult[] = [];
  for (const file of files) {
    const check = CHECK_OF[file.path] ?? "well-known-others";
    const subject = `${file.fact.url} at ${file.address}`;
    // A server name with a port, or that is an address, has no file for servers.
    if (file.path === "matrix/server" && (name.port !== undefined || name.family !== 0)) continue;
    const { level, said } = filesStay
      ? { level: "note" as const, said: "it does not move with this address: check it by name afterwards" }
      : judgeFile(file, expected);
    if (said !== undefined) results.push(result(check, subject, level, said));
    // Files for browsers are those for clients; a file that is broken is told already.
    if (!filesStay && file.path === "matrix/client" && file.headers) {
      const fault = corsFault(file);
      results.push(
        result("cors", subject, fault === undefined ? "ok" : "blocker", fault ?? "the file may be read"),
      );
    }
  }
  if (files.length === 0 && !direct)
    results.push(
      result(
        "well-known-client",
        name.host,
        Object.keys(expected.files).length > 0 || expected.clientUrl !== undefined ? "blocker" : "note",
        "the host of the well-known files has no address",
      ),
    );
  return results;
}

const CHECK_OF: Readonly<Record<string, CheckId>> = {
  "matrix/client": "well-known-client",
  "matrix/server": "well-known-server",
};

/** Nothing is said of a file that is neither expected nor there. */
function judgeFile(
  { path, fact, content }: FileSeen,
  expected: Expected,
): { readonly level: CheckResult["level"]; readonly said: string | undefined } {
  const wanted = expected.files[path];
  const value = { "matrix/client": expected.clientUrl, "matrix/server": expected.federation }[path];
  const isExpected = wanted !== undefined || value !== undefined;
  if (fact.state === "absent" && !isExpected) return { level: "note", said: undefined };
  if (fact.state !== "valid")
    return {
      // Discovery goes on without a file for servers; a missing one that nobody expects is no fault of this check.
      level: isExpected ? "blocker" : fact.state === "unreachable" ? "note" : "warning",
      said: fact.problem ?? fact.state,
    };
  if (wanted !== undefined) {
    const differing = differences(wanted, content);
    return differing.length === 0
      ? { level: "ok", said: "it has the expected content" }
      : { level: "blocker", said: `it differs in ${differing.join(", ")}` };
  }
  const shown = fact.value ?? "it is there";
  if (value === undefined) return { level: "note", said: shown };
  const right = path === "matrix/client" ? trimmedUrl(shown) === trimmedUrl(value) : shown === value;
  return { level: right ? "ok" : "blocker", said: right ? shown : `${shown}, and not ${value}` };
}

/** The keys at the top of two files whose values are not the same. */
function differences(wanted: unknown, is: unknown): string[] {
  const [one, other] = [asObject(wanted) ?? {}, asObject(is) ?? {}];
  const keys = [...new Set([...Object.keys(one), ...Object.keys(other)])];
  return keys.filter((key) => !isDeepStrictEqual(one[key], other[key]));
}

function corsFault({ fact, headers }: FileSeen): string | undefined {
  const hop = fact.redirects.find(({ cors }) => !cors);
  if (hop) return `the redirect to ${hop.to} lacks Access-Control-Allow-Origin`;
  return headers && originFault(headers);
}

/** A URL without the slash at its end, which means the same to clients. */
export const trimmedUrl = (url: string) => (URL.parse(url)?.href ?? url).replace(/\/+$/, "");
