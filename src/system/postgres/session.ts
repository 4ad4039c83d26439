import { MigrationError, type NoConnection } from "../../errors.ts";
import { linesOf } from "../programs/lines.ts";
import type { ExitStatus, InteractiveProgram } from "../programs/programs.ts";
import { exitReason } from "../programs/running-program.ts";
import { collectRows, quoteLiteral, type QuerySession, type QuerySettings, singleRow } from "../query.ts";
import { addTime, shortTime, traced } from "../trace/trace.ts";
import { describeAddress, type PostgresAddress } from "./call.ts";
import { findServerError, SQLSTATE_VARIABLES } from "./refusal.ts";
import { connectionHint } from "./unreachable.ts";

/**
 * One connection. Statements run one after another; the first that fails ends it. Each runs in a transaction of its own until
 * `begin` or `beginSnapshot` is called, and all settings are those of a transaction: a connection pooler in front of the server
 * gives the same server connection to its other clients afterwards, with everything that was set for the session.
 */
export interface PostgresSession extends QuerySession {
  readonly engine: "postgres";
  /** The server processes of all connections of this run, closed ones too: a process may outlive its connection briefly. */
  readonly ownBackends: readonly Backend[];
  /** Statements, each with its semicolon. */
  run(sql: string): Promise<void>;
  /** One statement that the server runs in no transaction, such as CREATE DATABASE: no setting applies to it. */
  runAlone(sql: string): Promise<void>;
  /** Begins a transaction for everything that follows, which ends with the session: nothing is committed. Call it once. */
  begin(): Promise<void>;
}

/** A server process, as pg_stat_activity tells it. */
export interface Backend {
  readonly pid: number;
  /** When it began, in seconds since 1970, as text; null where that is not told. */
  readonly startedAt: string | null;
}

/** Of the transactions. A read-only one also rejects nextval and setval (PostgreSQL documentation, SET TRANSACTION). */
export type TransactionAccess = "READ ONLY" | "READ WRITE";

/** For psql itself: nothing in it is sent to the server. */
const SET_UP = `
${Object.entries(SQLSTATE_VARIABLES)
  .map(([name, value]) => `\\set ${name} ${value}`)
  .join("\n")}
\\set FETCH_COUNT 5000
`;

/** What a role or a database may have set otherwise, and what queries and their answers are written for. */
const TRANSACTION_SETTINGS: QuerySettings = {
  client_min_messages: "error",
  idle_in_transaction_session_timeout: "0",
  lock_timeout: "60s",
  standard_conforming_strings: "on",
  quote_all_identifiers: "off",
  datestyle: "ISO",
  bytea_output: "hex",
  extra_float_digits: "1",
};

/** Milliseconds by which the server gives up later than this process, which has the better message. */
const SERVER_GRACE = 5_000;

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
  readonly #access: TransactionAccess;
  #inTransaction = false;
  /** server_version_num, which psql learns as it connects; 0 before. */
  #serverVersion = 0;
  /** Whether a statement was answered. */
  isConnected = false;
  #asked = 0;
  #closed = false;
  #tooSlow = false;

  constructor(
    psql: InteractiveProgram,
    to: PostgresAddress,
    { access, ownBackends }: { access: TransactionAccess; ownBackends: readonly Backend[] },
  ) {
    this.ownBackends = ownBackends;
    this.#access = access;
    this.#psql = psql;
    this.#to = to;
    this.#pieces = linesOf(psql.output)[Symbol.asyncIterator]();
  }

  async *rows<Row>(sql: string, settings: QuerySettings = {}): AsyncIterable<Row> {
    const bare = sql.trim().replace(/;$/, "");
    const query = `SELECT row_to_json(answer) FROM (${bare}\n) answer;`;
    for await (const line of this.#ask(this.#within(query, settings))) yield JSON.parse(line) as Row;
  }

  all<Row>(sql: string, settings?: QuerySettings): Promise<Row[]> {
    return collectRows(this.rows<Row>(sql, settings));
  }

  one<Row>(sql: string, settings?: QuerySettings): Promise<Row> {
    return singleRow(this.rows<Row>(sql, settings), sql);
  }

  run(sql: string): Promise<void> {
    return this.runAlone(this.#within(sql, {}));
  }

  async runAlone(sql: string): Promise<void> {
    for await (const _ of this.#ask(sql));
  }

  /** The first statement. Throws `database-unreachable`. */
  async connect(): Promise<void> {
    await traced("wait", "connect to PostgreSQL", async () => {
      for await (const line of this.#ask(`${SET_UP}\\echo :SERVER_VERSION_NUM\n${this.#within("", {})}`))
        this.#serverVersion = Number(line);
    });
    this.isConnected = true;
  }

  async begin(): Promise<void> {
    await this.runAlone(this.#beginning(this.#access));
    this.#inTransaction = true;
  }

  async beginSnapshot(): Promise<void> {
    await this.runAlone(this.#beginning("ISOLATION LEVEL REPEATABLE READ READ ONLY"));
    this.#inTransaction = true;
  }

  /** The statements in a transaction of their own or, in one that was begun, with a way back to its settings. */
  #within(sql: string, settings: QuerySettings): string {
    if (!this.#inTransaction) return `${this.#beginning(this.#access, settings)}\n${sql}\nCOMMIT;`;
    if (Object.keys(settings).length === 0) return sql;
    return `SAVEPOINT question\\; ${setLocal(settings)};\n${sql}\nROLLBACK TO SAVEPOINT question\\; RELEASE SAVEPOINT question;`;
  }

  /** psql sends statements with `\;` between them together: one round trip. */
  #beginning(mode: string, settings: QuerySettings = {}): string {
    const limit = this.responseTimeout === undefined ? 0 : this.responseTimeout + SERVER_GRACE;
    const more = this.#serverVersion >= 170_000 ? { transaction_timeout: "0" } : {};
    const all = { ...TRANSACTION_SETTINGS, ...more, statement_timeout: String(limit), ...settings };
    const level = mode.startsWith("ISOLATION") ? "" : "ISOLATION LEVEL READ COMMITTED ";
    return `BEGIN TRANSACTION ${level}${mode}\\; ${setLocal(all)};`;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    // A pooler drops the server connection of a client that leaves within a transaction. psql may have ended already.
    if (this.#inTransaction) await this.#psql.write("ROLLBACK;\n").catch(() => undefined);
    await this.#psql.close();
  }

  async *#ask(sql: string): AsyncIterable<string> {
    const before = this.#turn;
    let next = () => {};
    this.#turn = new Promise((resolve) => (next = resolve));
    await before;
    const began = shortTime();
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
      addTime("statements of PostgreSQL", began);
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
      const piece = await this.#pieces.next().catch((error: unknown) => {
        // Its output breaks off when it is killed.
        if (this.#tooSlow) return { done: true } as const;
        throw error;
      });
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

const setLocal = (settings: QuerySettings) =>
  Object.entries(settings)
    .map(([name, value]) => `SET LOCAL ${name} = ${quoteLiteral(value)}`)
    .join("\\; ");

const UNKNOWN: NoConnection = { kind: "no-connection", server: "unknown", database: "unknown" };

/** The message of libpq and the server about a failed connection. It contains no value from a row, as none was read yet. */
function describe({ stderr }: ExitStatus): string {
  const lines = stderr.split("\n").map((line) => line.trim());
  const line = lines.find((one) => one.startsWith("psql:")) ?? lines.filter(Boolean).at(-1);
  return line?.replace(/^psql: (?:error: )?/, "") ?? "it closed the connection";
}
