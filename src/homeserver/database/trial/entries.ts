import type { ByteTransform } from "../../../pipeline/transform.ts";

/** Remembers at which line of a plain dump each entry begins. */
export class EntryLines {
  #line = 1;
  readonly #entries: { readonly line: number; readonly name: string }[] = [];

  /** Passes a dump on as it is, which psql then reads from the first line on. */
  readonly watch: ByteTransform = (source) => this.#watch(source);

  async *#watch(source: Parameters<ByteTransform>[0]): ReturnType<ByteTransform> {
    let rest = "";
    for await (const chunk of source) {
      const lines = (rest + Buffer.from(chunk).toString("latin1")).split("\n");
      rest = lines.pop()!;
      for (const line of lines) {
        const [, tag, type, schema] = ENTRY.exec(line) ?? [];
        if (type !== undefined) {
          const name = schema === "-" ? tag! : `${schema!}.${tag!}`;
          this.#entries.push({ line: this.#line, name: `${type.toLowerCase()} ${utf8(name)}` });
        }
        this.#line += 1;
      }
      yield chunk;
    }
  }

  /** The entry to which a line belongs: "view public.slow"; undefined before the first. */
  at(line: number): string | undefined {
    return this.#entries.findLast((one) => one.line <= line)?.name;
  }
}

/** As pg_dump writes it before the statements of each entry. */
const ENTRY = /^-- Name: (.*); Type: ([A-Z ]+); Schema: (.*?); Owner: /;

const utf8 = (latin1: string) => Buffer.from(latin1, "latin1").toString("utf8");

/** A statement that the server rejected. */
export interface RejectedStatement {
  /** Of the input. */
  readonly line: number;
  /** The server's message. It contains no value from a row, as a schema has none. */
  readonly message: string;
}

/**
 * Errors in what psql wrote, run with VERBOSITY=verbose and --file=-. libpq writes the severity in the server's language, then
 * the SQLSTATE; notices and warnings have one of the classes 00 to 02.
 */
export function rejectedStatements(stderr: string): RejectedStatement[] {
  return stderr.split("\n").flatMap((line) => {
    const [, at, code, message] = ERROR_LINE.exec(line) ?? [];
    return code === undefined || /^0[012]/.test(code) ? [] : [{ line: Number(at), message: message! }];
  });
}

const ERROR_LINE = /^psql:<stdin>:(\d+): [^:"\n]{1,40}:\s{1,2}([0-9A-Z]{5}): (.*)$/;
