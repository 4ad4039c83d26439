/** Where Element Web might be served; any other origin than the homeserver's own would do. */
export const ORIGIN = "https://app.example";

/** What a browser asks before a request with an access token. */
export const PREFLIGHT = {
  origin: ORIGIN,
  "access-control-request-method": "PUT",
  "access-control-request-headers": "authorization,content-type",
};

const METHODS = ["GET", "POST", "PUT", "DELETE"];
const HEADERS = ["authorization", "content-type"];

/** Why a browser does not hand an answer to a page of another origin; undefined when it does (Fetch standard, "CORS check"). */
export function originFault(headers: Headers): string | undefined {
  const allowed = headers.get("access-control-allow-origin");
  if (allowed === null) return "Access-Control-Allow-Origin is missing";
  if (allowed === "*" || allowed === ORIGIN) return undefined;
  // Two programs that each add the header, such as a proxy and Synapse behind it.
  if (allowed.includes(",")) return `Access-Control-Allow-Origin is there more than once: ${allowed}`;
  return `Access-Control-Allow-Origin is only ${allowed}`;
}

/** Why a browser does not send the request that it asked leave for (Fetch standard, "CORS-preflight fetch"). */
export function preflightFault({ status, headers }: { readonly status: number; readonly headers: Headers }) {
  if (status < 200 || status > 299) return `the answer to OPTIONS has the status ${status}`;
  const origin = originFault(headers);
  if (origin !== undefined) return `in the answer to OPTIONS ${origin}`;
  const listed = (name: string) =>
    (headers.get(name) ?? "").split(",").map((value) => value.trim().toLowerCase());
  const methods = listed("access-control-allow-methods");
  const missing = METHODS.filter(
    (method) => !methods.includes(method.toLowerCase()) && !methods.includes("*"),
  );
  if (missing.length > 0) return `Access-Control-Allow-Methods lacks ${missing.join(", ")}`;
  const allowed = listed("access-control-allow-headers");
  // The wildcard does not cover Authorization.
  const lost = HEADERS.filter(
    (name) => !allowed.includes(name) && (name === "authorization" || !allowed.includes("*")),
  );
  return lost.length > 0 ? `Access-Control-Allow-Headers lacks ${lost.join(", ")}` : undefined;
}
