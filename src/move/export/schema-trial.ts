import { MigrationError } from "../../errors.ts";
import { postgresSources } from "../../homeserver/database/source.ts";
import { trySchemas } from "../../homeserver/database/trial/run.ts";
import { acceptWarnings } from "../../report/accept.ts";
import type { Finding } from "../../report/finding.ts";
import type { PostgresAddress } from "../../system/postgres/postgres.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import type { SourceState } from "./source.ts";

/** Throws `found-warnings` when a restore of the schema fails, unless that is accepted. */
export async function tryOutSchema(
  { tryOn, accepted }: { readonly tryOn: PostgresAddress | undefined; readonly accepted: readonly string[] },
  { database }: Pick<SourceState, "database">,
  system: System,
  progress: Progress,
): Promise<Finding[]> {
  const sources = postgresSources(database);
  if (tryOn === undefined || sources.length === 0) return [];
  const tried = acceptedOnly(await trySchemas(sources, tryOn, system, progress), accepted);
  const [failed] = tried.filter(({ level }) => level === "warning");
  if (failed === undefined) return tried;
  const { sentence, evidence = [], hint } = failed;
  const named = evidence.slice(0, 5).join("; ");
  throw new MigrationError("found-warnings", named === "" ? sentence : `${sentence}: ${named}`, { hint });
}

const acceptedOnly = (findings: readonly Finding[], accepted: readonly string[]) =>
  acceptWarnings(
    findings,
    accepted.filter((id) => findings.some((one) => one.id === id && one.level === "warning")),
  );
