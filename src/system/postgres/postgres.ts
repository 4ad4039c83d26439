import { MigrationError } from "../../errors.ts";
import { linesOf } from "../programs/lines.ts";
import type { InteractiveProgram, Programs } from "../programs/programs.ts";
import { collectRows, type QuerySession, singleRow } from "../query.ts";
import { quoteShellWord } from "../shell-quoting.ts";
import { describeAddress, type PostgresAddress, postgresCall } from "./call.ts";

export {
  connectionString,
  describeAddress,
  postgresCall,
  postgresProgramVersion,
  type PostgresAddress,
} from "./call.ts";
export { quoteIdentifier, quoteLiteral } from "../query.ts";

/**
 * PostgreSQL through its own programs. They use libpq as Synapse's driver does, so every kind of connection that
 * Synapse can use (sockets, peer authentication, password files, services, TLS) works in the same way.
 */
export interface Postgres {
  /** Throws `database-unreachable` with the server's own reason, `program-missing` without psql. */
  connect(to: PostgresAddress, options?: ConnectOptions): Promise<PostgresSession>;
}

export interface ConnectOptions {
  /** Sets the session to read-only, so that the server rejects every statement that writes. */
  readonly readOnly?: boolean;
  /** Milliseconds without any data while a query runs, after which the connection is closed. No limit by default. */
  readonly responseTimeout?: number;
}

/** One connection. Statements run one after another; the first that fails ends it. */
export interface PostgresSession extends QuerySession {
  readonly engine: "postgres";
  run(sql: string): Promise<void>;
}

const SET_UP = `
\\set ON_ERROR_STOP 1
\\set VERBOSITY terse
\\set SHOW_CONTEXT never
\\set FETCH_COUNT 5000
SET client_encoding = 'UTF8';
SET statement_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET lock_timeout = '60s';
SET application_name = 'synlift';
`;

/** This also rejects nextval and setval (PostgreSQL documentation, SET TRANSACTION). */
const READ_ONLY = "SET default_transaction_read_only = on;";

export function realPostgres(programs: Programs): Postgres {
  return {
    async connect(to, { readOnly = false, responseTimeout } = {}) {
      const kept = { keepalives_idle: "60", connect_timeout: "15", ...to.parameters };
      const psql = postgresCall("psql", { ...to, parameters: kept }, [
        "--no-psqlrc",
        "--quiet",
        "--no-align",
        "--tuples-only",
      ]);
      const session = new PsqlSession(await programs.start(psql), to);
      await session.run(SET_UP);
      if (readOnly) await session.run(READ_ONLY);
      session.responseTimeout = responseTimeout;
      return session;
    },
  };
}

/** Milliseconds. Normally psql gives up after `connect_timeout`, which applies to each of several addresses. */
const CONNECT_TIMEOUT = 60_000;

class PsqlSession implements PostgresSession {
  readonly engine = "postgres";
  #psql: InteractiveProgram;
  #to: PostgresAddress;
  #pieces: AsyncIterator<readonly string[]>;
  /** Received lines; those from `#next` on are not read yet. */
  #lines: readonly string[] = [];
  #next = 0;
  #turn: Promise<void> = Promise.resolve();
  /** See `ConnectOptions`. While connecting, it is `CONNECT_TIMEOUT`. */
  responseTimeout: number | undefined = CONNECT_TIMEOUT;
  #asked = 0;
  #closed = false;
  #tooSlow = false;

  constructor(psql: InteractiveProgram, to: PostgresAddress) {
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
    const { code, stderr } = await this.#psql.close();
    const reason = serverMessage(stderr);
    // psql(1), EXIT STATUS: 2 the connection went bad, 3 a statement failed.
    if (code === 3) return new MigrationError("program-failed", `a query on ${where} failed: ${reason}`);
    return new MigrationError("database-unreachable", `cannot use database ${where}: ${reason}`, {
      hint: hintFor(reason, this.#to),
    });
  }
}

/** The server's message without psql's prefixes. VERBOSITY terse omits DETAIL and CONTEXT, which may quote rows. */
export function serverMessage(complaint: string): string {
  const lines = complaint.split("\n").map((line) => line.trim());
  const found = lines.filter((line) => /\b(ERROR|FATAL|error):/.test(line));
  const line = found[0] ?? lines.filter(Boolean).at(-1) ?? "it closed the connection";
  return hideValues(line.replace(/^.*?\b(ERROR|FATAL|error):\s*/, ""));
}

/** Removes quoted values, which may come from a row, from a message. Quoted names of tables and columns are kept. */
function hideValues(sentence: string): string {
  return sentence
    .replace(/: ".*$/, "")
    .replace(/(invalid byte sequence[^:]*): .*/, "$1")
    .replace(/\bvalue ".*" (is out of range)/, "value $1")
    .replace(/( at or near) ".*"/, "$1 a token");
}

/** Which settings apply depends on the command. */
const SETTINGS_HINT = "in the database settings or, for a new database, in --database and its password file";

function hintFor(reason: string, { commandPrefix }: PostgresAddress): string {
  if (commandPrefix && /Peer authentication failed/.test(reason))
    return "run the command as the account that the database expects: docker exec -i -u postgres …";
  if (/Peer authentication failed/.test(reason))
    return "run synlift as root, or as the account that the database expects; if this host has no such account, use a password over TCP";
  if (/password authentication failed|no password supplied/.test(reason))
    return `check user and password, ${SETTINGS_HINT}`;
  if (/does not exist/.test(reason)) return `check the names of database and user, ${SETTINGS_HINT}`;
  if (/no pg_hba.conf entry/.test(reason)) return "allow this host and user in the server's pg_hba.conf";
  if (commandPrefix)
    return `check that this works and passes on standard input (docker exec needs -i): echo 'SELECT 1' | ${commandPrefix.map(quoteShellWord).join(" ")} psql …`;
  return `check host and port, ${SETTINGS_HINT}; and that the server is running`;
}
