import {
  checkRole,
  createRole,
  type RoleOrder,
  type RoleState,
} from "../../homeserver/database/role/create.ts";
import type { DatabaseRestore, DatabaseTarget } from "../../homeserver/database/target.ts";
import type { Finding } from "../../report/finding.ts";
import { quoteIdentifier } from "../../system/query.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";

export interface CreatedRoles {
  readonly findings: readonly Finding[];
  /** What cannot be looked at yet, because this is a dry run and it does not exist. */
  readonly missing: ReadonlySet<DatabaseTarget>;
}

/**
 * Creates the roles and databases that were asked for and do not exist; on a dry run it only finds out which. May be repeated.
 * Throws `target-unsuitable`, `database-unreachable`, `file-failed`.
 */
export async function createRoles(
  { databases }: { readonly databases: readonly DatabaseRestore[] },
  { roles }: { readonly roles: readonly RoleOrder[] },
  { dryRun }: { readonly dryRun: boolean },
  system: Pick<System, "postgres" | "files" | "machine">,
  progress: Progress,
): Promise<CreatedRoles> {
  const findings: Finding[] = [];
  const missing = new Set<DatabaseTarget>();
  const due = databases.flatMap(({ target, section }) => {
    const order = roles.find(({ address }) => target.engine === "postgres" && target.address === address);
    return order ? [{ target, order, section }] : [];
  });
  // All of them are checked before the first is created.
  for (const { target, order, section } of due) {
    const state = await checkRole(order, section, system.postgres);
    if (!dryRun) continue;
    if (!state.roleExists || !state.databaseExists) missing.add(target);
    findings.push(roleFinding(state, order, dryRun));
  }
  if (dryRun) return { findings, missing };
  for (const { order } of due) {
    const finding = roleFinding(await createRole(order, system), order, dryRun);
    // At once: whoever interrupts the restore is to know what there is to undo.
    progress.note([finding.sentence, ...(finding.evidence ?? [])].join("; "));
    findings.push(finding);
  }
  return { findings, missing };
}

/** What was created, or is going to be; and how it is removed again. */
function roleFinding(
  { user, database, roleExists, databaseExists }: RoleState,
  { passwordFile }: Pick<RoleOrder, "passwordFile">,
  dryRun: boolean,
): Finding {
  const [role, owned] = [`role ${user}`, `database ${database}`];
  if (roleExists && databaseExists)
    return {
      id: "database-role",
      level: "note",
      sentence: `${role} and ${owned} exist already, and are left as they are`,
    };
  const created = [...(roleExists ? [] : [role]), ...(databaseExists ? [] : [owned])].join(" and ");
  const left = roleExists ? role : databaseExists ? owned : undefined;
  const undo = [
    ...(databaseExists ? [] : [`DROP DATABASE ${quoteIdentifier(database)};`]),
    ...(roleExists ? [] : [`DROP ROLE ${quoteIdentifier(user)};`]),
  ];
  return {
    id: "database-role",
    level: "note",
    sentence: `${created} ${dryRun ? "will be created" : "created"} in PostgreSQL${left === undefined ? "" : `; ${left} exists already, and is left as it is`}`,
    evidence: [
      ...(roleExists ? [] : [`the password of ${role} is in ${passwordFile}${dryRun ? ", or will be" : ""}`]),
      `to undo, as PostgreSQL's administrator: ${undo.join(" ")}`,
    ],
  };
}
