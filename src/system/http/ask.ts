import type { Http, HttpAnswer } from "./http.ts";
import { NoAnswer } from "./no-answer.ts";

/** Milliseconds: a server on this host answers at once, or not at all. */
const TIMEOUT_MS = 3_000;

/** The answer of a server that may not be running; undefined when none came. Rejects only when the run is interrupted. */
export async function getIfAnswered(
  url: string,
  { http, signal }: { http: Http; signal: AbortSignal },
): Promise<HttpAnswer | undefined> {
  try {
    return await http.get(url, { timeout: TIMEOUT_MS, signal });
  } catch (error) {
    if (error instanceof NoAnswer) return undefined;
    throw error;
  }
}

/** The JSON object in an answer; undefined when it is not a JSON object. */
export function jsonOf(answer: HttpAnswer | undefined): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(answer?.body ?? []).toString());
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
