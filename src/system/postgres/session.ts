import { MigrationError, type NoConnection } from "../../errors.ts";
import { linesOf } from "../programs/lines.ts";
import type { ExitStatus, InteractiveProgram } from "../programs/programs.ts";
import { exitReason } from "../programs/running-program.ts";
import { collectRows, type QuerySession, singleRow } from "../query.ts";
import { describeAddress, type PostgresAddress } from "./call.ts";
import { findServerError } from "./refusal.ts";
import { connectionHint } from "./unreachable.ts";

/** One connection. Statements run one after another; the first that fails ends it. */
export interface PostgresSession extends QuerySession {
  readonly engine: "postgres";
  /** The server processes of all connections of this run, closed ones too: a process may outlive its connection briefly. */
  readonly ownBackends: readonly Backend[];
  run(sql: string): Promise<void>;
}

/** A server process, as pg_stat_activity tells it. */
export interface Backend {
  readonly pid: number;
  /** When it began, in seconds since 1970, as text; null where that is not told. */
  readonly startedAt: string | null;
}

/** Milliseconds. Normally psql gives up after `connect_timeout`, which applies to each of several addresses. */
const CONNECT_TIMEOUT = 60_000;

/** A session of a psql that reads from its standard input, and sets `SQLSTATE_VARIABLES` with its first statements. */
export class PsqlSession implements PostgresSession {
  readonly engine = "postgres";
  readonly ownBackends: readonly Backend[];
  #psql: InteractiveProgram;
  #to: PostgresAddress;
  #pieces: AsyncIterator<readonly string[]>;
  /** Received lines; those from `#next` on are not read yet. */
  #lines: readonly string[] = [];
  #next = 0;
  #turn: Promise<void> = Promise.resolve();
  /** See `ConnectOptions`. While connecting, it is `CONNECT_TIMEOUT`. */
  responseTimeout: number | undefined = CONNECT_TIMEOUT;
  /** Whether a statement was answered. */
  isConnected = false;
  #asked = 0;
  #closed = false;
  #tooSlow = false;

  constructor(psql: InteractiveProgram, to: PostgresAddress, ownBackends: readonly Backend[]) {
    this.ownBackends = ownBackends;
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
    return collectRows(this.rows<Row>(sql));
  }

  one<Row>(sql: string): Promise<Row> {
    return singleRow(this.rows<Row>(sql), sql);
  }

  async run(sql: string): Promise<void> {
    for await (const _ of this.#ask(sql));
  }

  beginSnapshot(): Promise<void> {
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
      // After a partly read answer, the connection cannot be used for the next one and is closed.
      if (!complete) {
        this.#psql.kill();
        // Unread output would keep the pipe open, and block the wait for the end of the program.
        await this.#pieces.return?.();
      }
      next();
    }
  }

  /** Waits for further lines. */
  async #more(): Promise<void> {
    const timer =
      this.responseTimeout === undefined
        ? undefined
        : setTimeout(() => {
            this.#tooSlow = true;
            this.#psql.kill();
          }, this.responseTimeout);
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
        `no response from database ${where} for ${Math.round(this.responseTimeout! / 1000)} seconds`,
        { hint: "check the database server: locks, disk, memory" },
      );
    }
    const ended = await this.#psql.close();
    const refusal = findServerError(ended);
    // psql(1), EXIT STATUS: 2 the connection went bad, 3 a statement failed.
    if (ended.code === 3)
      return new MigrationError(
        "program-failed",
        `a query on ${where} failed: ${refusal?.message ?? "psql gives no cause"}`,
        { reason: refusal ?? exitReason("psql", ended) },
      );
    if (this.isConnected)
      return new MigrationError(
        "database-unreachable",
        `cannot use database ${where}: ${refusal?.message ?? "it closed the connection"}`,
        { hint: connectionHint(UNKNOWN, this.#to), reason: refusal ?? exitReason("psql", ended) },
      );
    return new MigrationError("database-unreachable", `cannot use database ${where}: ${describe(ended)}`, {
      hint: connectionHint(UNKNOWN, this.#to),
      reason: ended.code === 2 ? UNKNOWN : exitReason("psql", ended),
    });
  }
}

const UNKNOWN: NoConnection = { kind: "no-connection", server: "unknown", database: "unknown" };

/** The message of libpq and the server about a failed connection. It contains no value from a row, as none was read yet. */
function describe({ stderr }: ExitStatus): string {
  const lines = stderr.split("\n").map((line) => line.trim());
  const line = lines.find((one) => one.startsWith("psql:")) ?? lines.filter(Boolean).at(-1);
  return line?.replace(/^psql: (?:error: )?/, "") ?? "it closed the connection";
}
