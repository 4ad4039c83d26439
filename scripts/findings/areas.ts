import { ANY_EXIT_CODE } from "../finding-ids.ts";
import { ADDRESS } from "./address.ts";
import { BUNDLE } from "./bundle.ts";
import { CONFIG } from "./config.ts";
import { DATABASE } from "./database.ts";
import { DELEGATION_CHECK } from "./delegation-check.ts";
import { FOLLOW } from "./follow.ts";
import { HOST } from "./host.ts";
import type { FindingArea } from "./meaning.ts";
import { MEDIA } from "./media.ts";
import { NEW_SERVER } from "./new-server.ts";
import { OLD_ADDRESS } from "./old-address.ts";
import { OLD_SERVER } from "./old-server.ts";
import { PEOPLE } from "./people.ts";
import { PORT } from "./port.ts";
import { SERVICE } from "./service.ts";

/** In the order of a move. */
export const AREAS: readonly FindingArea[] = [
  HOST,
  SERVICE,
  CONFIG,
  DATABASE,
  PORT,
  MEDIA,
  PEOPLE,
  ADDRESS,
  FOLLOW,
  OLD_SERVER,
  BUNDLE,
  NEW_SERVER,
  DELEGATION_CHECK,
  OLD_ADDRESS,
];

/** Ids that src/ puts together at run time, and their entries. Nothing but this list knows what can come out. */
export const PUT_TOGETHER: Readonly<Record<string, readonly string[]>> = {
  "launch-*": ["launch-docker", "launch-podman"],
  "*-fixed": ["port-fixed"],
  "mas-*": ["mas-server-name", "mas-secret"],
  "*-check-incomplete": ["check-incomplete"],
  [ANY_EXIT_CODE]: ["exit-code"],
};

/** Files whose finding has the id of something else, and the entry that says so. */
export const OTHER_IDS: Readonly<Record<string, string>> = {
  "src/move/old-server/status-text.ts": "export-step",
};
