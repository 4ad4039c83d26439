import type { FollowAnswers, FollowRequests } from "../../src/move/follow/protocol.ts";
import { parseFollowAnswer } from "../../src/move/follow/protocol.ts";
import { callByCommand, withChannel } from "../../src/move/connect.ts";
import type { PostgresCluster } from "./lab/postgres-cluster.ts";
import { quoteShellWord } from "../../src/system/shell-quoting.ts";
import { machineWith } from "./fake-machine.ts";
import { programsWith } from "./real-world.ts";
import { MAIN } from "./synlift.ts";

type Request = FollowRequests[keyof FollowRequests];
type Answered<Type> = Type extends "facts"
  ? FollowAnswers["facts"]
  : Type extends "prepare"
    ? FollowAnswers["prepared"]
    : FollowAnswers["undone"];

/**
 * Starts `synlift follow-source` as the new host does, asks one thing, and hands back the answer and the notes before it. `noted` gets each
 * of them as it comes.
 */
export async function askFollowSource<One extends Request>(
  args: readonly string[],
  request: One,
  noted: (sentence: string) => unknown = () => undefined,
): Promise<{ answer: Answered<One["type"]>; notes: string[] }> {
  const command = [process.execPath, MAIN, "follow-source", ...args].map(quoteShellWord).join(" ");
  const system = {
    programs: programsWith(),
    machine: machineWith(),
    signal: new AbortController().signal,
  } as Parameters<typeof withChannel>[2];
  const notes: string[] = [];
  return withChannel(
    callByCommand(command),
    async (channel) => {
      const hello = parseFollowAnswer(await channel.receiveMessage());
      if (hello.type !== "hello") throw new Error(`${hello.type} instead of hello`);
      await channel.sendMessage(request);
      for (;;) {
        const answer = parseFollowAnswer(await channel.receiveMessage());
        if (answer.type !== "note") return { answer: answer as Answered<One["type"]>, notes };
        notes.push(answer.sentence);
        await noted(answer.sentence);
      }
    },
    system,
  );
}

/** Everything on a server that follow may change, as text: equal texts mean that nothing was left behind. */
export async function serverState(cluster: PostgresCluster, database: string): Promise<string> {
  const parts = [
    // ALTER SYSTEM moves what it writes to the end.
    "select line from regexp_split_to_table(pg_read_file('postgresql.auto.conf'), E'\\n') line order by 1",
    "select name, setting from pg_settings where name in ('max_slot_wal_keep_size', 'wal_keep_segments', 'wal_level') order by 1",
    "select rolname, rolsuper, rolreplication, rolcanlogin, shobj_description(oid, 'pg_authid') from pg_roles where rolname !~ '^pg_' order by 1",
    "select roleid::regrole, member::regrole from pg_auth_members order by 1, 2",
    "select setrole::regrole, setconfig from pg_db_role_setting order by 1",
    "select slot_name, slot_type from pg_replication_slots order by 1",
    "select pubname from pg_publication order by 1",
    // No entry and the owner's default are the same; REVOKE writes the latter.
    "select oid::regclass, relreplident, coalesce(relacl, acldefault(case relkind when 'S' then 's' else 'r' end::\"char\", relowner)) from pg_class where relkind in ('r', 'S') and relnamespace = 'public'::regnamespace order by 1",
    "select nspname, coalesce(nspacl, acldefault('n', nspowner)) from pg_namespace where nspname = 'public'",
    "select defaclrole::regrole, defaclacl from pg_default_acl order by 1",
  ];
  const said: string[] = [];
  for (const part of parts) said.push(await cluster.sql(database, part));
  return said.join("\n--\n");
}
