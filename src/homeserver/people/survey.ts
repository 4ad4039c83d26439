import type { Unfinished } from "../../system/files/unfinished.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { openReadOnly } from "../database/open.ts";
import type { Homeserver } from "../homeserver.ts";
import { assertHomeserverDatabase } from "./identity.ts";
import { inspectPeople } from "./inspect.ts";
import { findNotified } from "./notices/already-sent.ts";
import type { Campaign } from "./notices/campaign.ts";
import { PeopleList } from "./people-list.ts";
import { CSV_HEAD, personCsv } from "./spreadsheet.ts";
import type { PeopleTally } from "./tally.ts";

export interface SurveyOptions {
  /** 0: how far backups have come is not measured. */
  readonly coverageDays: number;
  /** List everybody, not only those at risk. */
  readonly everybody: boolean;
  /** A table of every account goes here: whole, or not at all. */
  readonly csv?: string | undefined;
  /** Look who was sent this text, by this account, before. */
  readonly notice?: { readonly campaign: Campaign; readonly from: string } | undefined;
}

export interface Survey {
  readonly tally: PeopleTally;
  readonly roll: PeopleList;
  readonly alreadySent: ReadonlySet<string>;
}

/**
 * Opens the homeserver's database, looks at everybody in it, and closes it again. Changes nothing there.
 * Throws `database-unreachable`, `database-unsupported`, `file-missing`, `program-failed`, and what writing a file throws.
 */
export async function surveyPeople(
  homeserver: Homeserver,
  { coverageDays, everybody, csv, notice }: SurveyOptions,
  system: System,
  progress: Progress,
): Promise<Survey> {
  const { files, machine } = system;
  const { serverName } = homeserver;
  const file = csv === undefined ? undefined : await files.begin(csv);
  try {
    // Patient: the encrypted events of months are read in one go.
    const look = await openReadOnly(homeserver, true, system);
    try {
      await assertHomeserverDatabase(look, serverName);
      const { session } = look;
      const noticed = notice ? await findNotified(session, notice.campaign, notice.from) : new Set<string>();
      const { people, tally } = await inspectPeople(
        { serverName, now: machine.now(), coverageDays, progress },
        session,
      );
      const roll = new PeopleList(everybody);
      const rows = file && new CsvWriter(file);
      for await (const person of people) {
        roll.add(person);
        await rows?.add(personCsv(person));
      }
      await rows?.end();
      return { tally, roll, alreadySent: noticed };
    } finally {
      await look.session.close();
    }
  } finally {
    await file?.abandon();
  }
}

/** Characters that are gathered before they are written. */
const GATHERED = 64 * 1024;

class CsvWriter {
  readonly #file: Unfinished;
  #text = CSV_HEAD;

  constructor(file: Unfinished) {
    this.#file = file;
  }

  async add(row: string): Promise<void> {
    this.#text += row;
    if (this.#text.length >= GATHERED) await this.#write();
  }

  async end(): Promise<void> {
    await this.#write();
    await this.#file.finish();
  }

  async #write(): Promise<void> {
    await this.#file.write(new TextEncoder().encode(this.#text));
    this.#text = "";
  }
}
