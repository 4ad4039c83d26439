import type { Homeserver } from "../../homeserver/homeserver.ts";
import type { MediaRepo } from "../../homeserver/media/media-repo/usage.ts";
import type { FoundLaunches, Launch } from "../../homeserver/service/find/launch.ts";
import type { PostgresAddress } from "../../system/postgres/postgres.ts";

/** The options of `plan`, and what is known about the new host. */
export interface PlanQuestions {
  readonly deep: boolean;
  /** Base address of the new server. */
  readonly target?: string | undefined;
  /** The database on the new host, if it can be reached from here. */
  readonly targetDatabase?: PostgresAddress | undefined;
  /** A server where the schema is tried in a throw-away database. */
  readonly tryOn?: PostgresAddress | undefined;
  /** Base address of the old server, instead of its own listeners. */
  readonly url?: string | undefined;
  /** Bytes of the largest upload that the target accepts. */
  readonly uploadLimit?: number | undefined;
  readonly mediaRepo?: MediaRepo | undefined;
  /** Folder of the bundle, absolute. */
  readonly out: string;
  /** Bytes per second between the hosts. */
  readonly link: number;
  /** Whether it was given; otherwise it is assumed. */
  readonly linkNamed: boolean;
}
export interface Source {
  readonly homeserver: Homeserver;
  readonly launch: Launch | undefined;
  readonly launches: FoundLaunches;
}
