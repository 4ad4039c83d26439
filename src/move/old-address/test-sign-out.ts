import type { MigrationError } from "../../errors.ts";
import { probeSignOut } from "../../old-address/probe.ts";
import { acceptWarnings, failureForFindings } from "../../report/accept.ts";
import type { Finding } from "../../report/finding.ts";
import type { System } from "../../system/system.ts";

/** Milliseconds until a port counts as closed. */
const ACCEPT_TIMEOUT = 3_000;

/** Asks an address whether it signs everybody out; changes nothing. Throws `file-missing` for `authorities`. */
export async function testSignOut(
  order: {
    readonly base: string;
    /** PEM file of additional authorities. */
    readonly authorities: string | undefined;
    readonly accepted: readonly string[];
  },
  { files, http, prober, signal }: Pick<System, "files" | "http" | "prober" | "signal">,
): Promise<{ readonly findings: readonly Finding[]; readonly failure: MigrationError | undefined }> {
  const authorities = order.authorities === undefined ? undefined : await files.readText(order.authorities);
  const found = await probeSignOut(
    { base: order.base, authorities, accepts: (host, port) => http.accepts(host, port, ACCEPT_TIMEOUT) },
    { prober, signal },
  );
  const findings = acceptWarnings(found, order.accepted);
  return { findings, failure: failureForFindings(findings) };
}
