import { type QuerySession, quoteLiteral } from "../../../system/query.ts";
import { hasColumn } from "../store/rows.ts";
import type { ArchiveRecord } from "./record.ts";

/** Rows in one statement. */
const AT_ONCE = 500;

/** Runs a statement that changes a database: all of it or nothing. */
export type Change = (statement: string) => Promise<void>;

/**
 * Writes rows for uploads that came in an archive, where a restored database has none: with their upload time and hash,
 * and with what else their record knows. A row that is there is never changed. May be done again.
 */
export class UploadRowWriter {
  readonly #change: Change;
  readonly #columns: readonly Column[];
  /** Uploads whose record does not say whether they were public, where the database has a column for that. */
  unknownAuthentication = 0;
  #waiting: string[] = [];

  private constructor(change: Change, columns: readonly Column[]) {
    this.#change = change;
    this.#columns = columns;
  }

  static async begin(session: QuerySession, change: Change): Promise<UploadRowWriter> {
    const columns: Column[] = [];
    for (const column of COLUMNS)
      if (column.always === true || (await hasColumn(session, column.name))) columns.push(column);
    return new UploadRowWriter(change, columns);
  }

  async add(record: ArchiveRecord): Promise<void> {
    if (
      record.synlift?.authenticated === undefined &&
      this.#columns.some(({ name }) => name === AUTHENTICATED)
    )
      this.unknownAuthentication += 1;
    this.#waiting.push(`(${this.#columns.map(({ value }) => value(record)).join(", ")})`);
    if (this.#waiting.length >= AT_ONCE) await this.flush();
  }

  /** To be called at the end, too. */
  async flush(): Promise<void> {
    if (this.#waiting.length === 0) return;
    const names = this.#columns.map(({ name }) => name).join(", ");
    await this.#change(
      `INSERT INTO local_media_repository (${names}) VALUES ${this.#waiting.join(",\n")} ON CONFLICT DO NOTHING;`,
    );
    this.#waiting = [];
  }
}

interface Column {
  readonly name: string;
  /** Every Synapse that can be restored has it. */
  readonly always?: true;
  readonly value: (record: ArchiveRecord) => string;
}

/** PostgreSQL has no NUL in texts. */
const textOrNull = (text: string | undefined) =>
  text === undefined || text === "" ? "NULL" : quoteLiteral(text.replaceAll("\0", "").toWellFormed());

const always = true;
const AUTHENTICATED = "authenticated";

/** synapse/storage/databases/main/media_repository.py, `store_local_media`. */
const COLUMNS: readonly Column[] = [
  { always, name: "media_id", value: (record) => quoteLiteral(record.media_id) },
  { always, name: "media_type", value: (record) => textOrNull(record.content_type) },
  { always, name: "media_length", value: (record) => String(record.size_bytes) },
  { always, name: "created_ts", value: (record) => String(record.created_ts) },
  { always, name: "upload_name", value: (record) => textOrNull(record.name) },
  { always, name: "user_id", value: (record) => textOrNull(record.uploader) },
  { always, name: "quarantined_by", value: ({ synlift }) => textOrNull(synlift?.quarantined_by) },
  {
    always,
    name: "safe_from_quarantine",
    value: ({ synlift }) => String(synlift?.safe_from_quarantine ?? false),
  },
  { always, name: "last_access_ts", value: ({ synlift }) => String(synlift?.last_access_ts ?? "NULL") },
  // Where nobody knows, none becomes public that was not: see `unknownAuthentication`.
  { name: AUTHENTICATED, value: ({ synlift }) => String(synlift?.authenticated ?? true) },
  { name: "sha256", value: (record) => textOrNull(record.sha256.toLowerCase()) },
];
