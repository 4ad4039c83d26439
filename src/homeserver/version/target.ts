import type { Http } from "../../system/http/http.ts";
import { NoAnswer } from "../../system/http/no-answer.ts";
import type { Machine } from "../../system/machine.ts";
import { parseVersion, type Version } from "../synapse-versions.ts";
import { versionIn } from "./source.ts";

/** What the new host's Synapse reports about itself. */
export interface TargetVersion {
  readonly url: string;
  readonly version: Version | undefined;
  /** The name and version it reports, also when it is not Synapse or the version cannot be parsed. */
  readonly name: string | undefined;
  /** Why the version could not be read. */
  readonly trouble: string | undefined;
  /** Seconds by which its clock is ahead of this host's, where its answer had a date; accurate to a second or two. */
  readonly clockAhead: number | undefined;
}

/** Asks the server at `url` (its base, http or https) for its version, once. Rejects only when the run is interrupted. */
export async function readTargetVersion(
  url: string,
  { http, machine, signal }: { http: Http; machine: Machine; signal: AbortSignal },
): Promise<TargetVersion> {
  const base = url.replace(/\/+$/, "");
  const nothing = { url: base, version: undefined, name: undefined, clockAhead: undefined };
  const before = machine.now();
  try {
    const answer = await http.get(`${base}/_matrix/federation/v1/version`, { signal });
    const clockAhead = aheadOf(answer.headers.get("date"), (before + machine.now()) / 2);
    const said = versionIn(answer);
    if (!said) {
      const trouble = `it answers with status ${answer.status} and no version`;
      return { ...nothing, trouble, clockAhead };
    }
    const version = said.name === "Synapse" ? parseVersion(said.version) : undefined;
    // It is shown to people, and it comes from an untrusted server.
    const name = `${said.name} ${said.version}`.replaceAll(/[^\x20-\x7e]/g, "?").slice(0, 80);
    return { ...nothing, version, name, trouble: undefined, clockAhead };
  } catch (error) {
    if (error instanceof NoAnswer) return { ...nothing, trouble: error.message };
    throw error;
  }
}

/** HTTP dates have whole seconds: on average the real time is half a second later. */
function aheadOf(date: string | null, now: number): number | undefined {
  const told = Date.parse(date ?? "");
  return Number.isNaN(told) ? undefined : Math.round((told + 500 - now) / 1000);
}
