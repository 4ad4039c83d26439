import type { Answer, Rule } from "../proxies/answer.ts";

/**
 * What a browser must find in every response before a page of another origin may see it: the Matrix specification
 * (client-server API, "Web Browser Clients"), with the methods that Synapse also allows.
 */
export const CORS = {
  "Access-Control-Allow-Origin": "*",
  "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS",
  "Access-Control-Allow-Headers": "X-Requested-With, Content-Type, Authorization, Date",
} as const;

/** A browser asks before it sends PUT, DELETE or an access token; any other answer than success blocks the request itself. */
export const PREFLIGHT: NonNullable<Rule["byMethod"]>[number] = {
  methods: ["OPTIONS"],
  answer: { kind: "answer", status: 204, headers: CORS },
};

/** An error of the Matrix specification, as every client understands it. */
export const matrixError = (
  status: number,
  body: { readonly errcode: string; readonly error: string; readonly soft_logout?: boolean },
  headers: Readonly<Record<string, string>> = {},
): Answer => ({ kind: "answer", status, headers: { ...CORS, ...headers }, body: JSON.stringify(body) });
