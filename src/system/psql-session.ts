import { MigrationError, type NoConnection } from "../errors.ts";
import { linesOf } from "./lines.ts";
import { describeAddress, type PostgresAddress } from "./postgres-call.ts";
import { refusalIn } from "./postgres-refusal.ts";
import { hintFor } from "./postgres-unreachable.ts";
import type { Conversation, Ending } from "./programs.ts";
import { gather, only, type QuerySession } from "./query.ts";
import { endOf } from "./running-program.ts";

/** One connection. Statements run one after another; the first that fails ends it. */
export interface PostgresSession extends QuerySession {
  readonly engine: "postgres";
  run(sql: string): Promise<void>;
}

/** Milliseconds. psql itself gives up after `connect_timeout`, if it is in order; several addresses have that each. */
const CONNECTING = 60_000;

/** By a psql that was called with `TELL_SQLSTATE`, and reads from its standard input. */
export class PsqlSession implements PostgresSession {
  readonly engine = "postgres";
  #psql: Conversation;
  #to: PostgresAddress;
  #pieces: AsyncIterator<readonly string[]>;
  /** Lines that have come and were not read yet, from `#next` on. */
  #lines: readonly string[] = [];
  #next = 0;
  #turn: Promise<void> = Promise.resolve();
  /** See `ConnectOptions`. Until it is set otherwise, that of connecting. */
  patience: number | undefined = CONNECTING;
  /** Whether there was an answer yet. */
  isConnected = false;
  #asked = 0;
  #closed = false;
  #tooSlow = false;

  constructor(psql: Conversation, to: PostgresAddress) {
    this.#psql = psql;
    this.#to = to;
    this.#pieces = linesOf(psql.output)[Symbol.asyncIterator]();
  }

  async *rows<Row>(sql: string): AsyncIterable<Row> {
    const bare = sql.trim().replace(/;$/, "");
    for await (const line of this.#ask(`SELECT row_to_json(answer) FROM (${bare}\n) answer;`))
      yield JSON.parse(line) as Row;
  }

  all<Row>(sql: string): Promise<Row[]> {
    return gather(this.rows<Row>(sql));
  }

  one<Row>(sql: string): Promise<Row> {
    return only(this.rows<Row>(sql), sql);
  }

  async run(sql: string): Promise<void> {
    for await (const _ of this.#ask(sql));
  }

  beginReading(): Promise<void> {
    return this.run("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;");
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#psql.close();
  }

  async *#ask(sql: string): AsyncIterable<string> {
    const before = this.#turn;
    let next = () => {};
    this.#turn = new Promise((resolve) => (next = resolve));
    await before;
    const mark = `synlift-answer-${++this.#asked}`;
    let complete = false;
    try {
      await this.#psql.write(`${sql}\n\\echo ${mark}\n`);
      for (;;) {
        while (this.#next === this.#lines.length) await this.#more();
        const value = this.#lines[this.#next++]!;
        if (value === mark) {
          complete = true;
          return;
        }
        if (value !== "") yield value;
      }
    } finally {
      // A reader that left in the middle of an answer cannot be given the next one: the connection is over.
      if (!complete) {
        this.#psql.kill();
        // What nobody reads any more would keep the program's pipe open, and whoever waits for its end.
        await this.#pieces.return?.();
      }
      next();
    }
  }

  /** Waits for further lines. */
  async #more(): Promise<void> {
    const timer =
      this.patience === undefined
        ? undefined
        : setTimeout(() => {
            this.#tooSlow = true;
            this.#psql.kill();
          }, this.patience);
    try {
      const piece = await this.#pieces.next();
      if (piece.done === true) throw await this.#failure();
      this.#lines = piece.value;
      this.#next = 0;
    } finally {
      clearTimeout(timer);
    }
  }

  async #failure(): Promise<Error> {
    const where = describeAddress(this.#to);
    if (this.#tooSlow) {
      return new MigrationError(
        "database-unreachable",
        `database ${where} said nothing for ${Math.round(this.patience! / 1000)} seconds`,
        { hint: "look at what the database server is doing: locks, disk, memory" },
      );
    }
    const ending = await this.#psql.close();
    const refusal = refusalIn(ending);
    // psql(1), EXIT STATUS: 2 the connection went bad, 3 a statement failed.
    if (ending.code === 3)
      return new MigrationError(
        "program-failed",
        `a query on ${where} failed: ${refusal?.sentence ?? "psql does not say why"}`,
        { reason: refusal ?? endOf("psql", ending) },
      );
    if (this.isConnected)
      return new MigrationError(
        "database-unreachable",
        `cannot use database ${where}: ${refusal?.sentence ?? "it closed the connection"}`,
        { hint: hintFor(UNKNOWN, this.#to), reason: refusal ?? endOf("psql", ending) },
      );
    return new MigrationError("database-unreachable", `cannot use database ${where}: ${wordsIn(ending)}`, {
      hint: hintFor(UNKNOWN, this.#to),
      reason: ending.code === 2 ? UNKNOWN : endOf("psql", ending),
    });
  }
}

const UNKNOWN: NoConnection = { kind: "no-connection", server: "unknown", database: "unknown" };

/** Why there is no connection, in libpq's words and the server's: no row was read yet. */
function wordsIn({ complaint }: Ending): string {
  const lines = complaint.split("\n").map((line) => line.trim());
  const line = lines.find((one) => one.startsWith("psql:")) ?? lines.filter(Boolean).at(-1);
  return line?.replace(/^psql: (?:error: )?/, "") ?? "it closed the connection";
}
