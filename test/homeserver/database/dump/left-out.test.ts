import assert from "node:assert/strict";
import { test } from "node:test";
import { type DumpEntry, leaveOutEntries } from "../../../../src/homeserver/database/dump/left-out.ts";

const VIEW: DumpEntry = { type: "VIEW", schema: "public", tag: "slow", comment: "slow" };

const entry = (head: string, body: string) => `--\n-- Name: ${head}; Owner: -\n--\n\n${body}\n\n\n`;

const BEGINNING = "--\n-- PostgreSQL database dump\n--\n\nSET statement_timeout = 0;\n\n";
const END = "--\n-- PostgreSQL database dump complete\n--\n\n";
const TABLE = entry("users; Type: TABLE; Schema: public", "CREATE TABLE public.users (name text);");
const SLOW = entry("slow; Type: VIEW; Schema: public", "CREATE VIEW public.slow AS\n SELECT 1;");
/** Rows that look like what a dump writes between rows. */
const ROWS = `--\n-- Data for Name: users; Type: TABLE DATA; Schema: public; Owner: -\n--\n
COPY public.users (name) FROM stdin;
--
-- Name: slow; Type: VIEW; Schema: public; Owner: -
--
COPY public.users (name) FROM stdin;
\\\\.
\\.


`;
const EMPTY = `--\n-- Data for Name: rooms; Type: TABLE DATA; Schema: public; Owner: -\n--\n\nCOPY public.rooms (id) FROM stdin;\n\\.\n\n\n`;

/** However the dump is cut into chunks, the result is the same. */
async function without(dump: string, ...entries: DumpEntry[]): Promise<string> {
  const results = new Set<string>();
  const bytes = Buffer.from(dump);
  for (const size of [1, 2, 3, 7, 64, 1000, bytes.length]) {
    const chunks = async function* () {
      for (let from = 0; from < bytes.length; from += size) {
        await Promise.resolve();
        yield Buffer.from(bytes.subarray(from, from + size));
      }
    };
    const pieces: Uint8Array[] = [];
    for await (const piece of leaveOutEntries(entries)(chunks())) pieces.push(Buffer.from(piece));
    results.add(Buffer.concat(pieces).toString());
  }
  assert.equal(results.size, 1);
  return [...results][0]!;
}

test("an entry is left out, with the comments on it and on its columns, and all others stay as they are", async () => {
  const comments = [
    entry("VIEW slow; Type: COMMENT; Schema: public", "COMMENT ON VIEW public.slow IS 'one';"),
    entry("COLUMN slow.n; Type: COMMENT; Schema: public", "COMMENT ON COLUMN public.slow.n IS 'two';"),
  ].join("");
  const others = [
    entry("slow; Type: VIEW; Schema: attic", "CREATE VIEW attic.slow AS SELECT 2;"),
    entry("slow; Type: FUNCTION; Schema: public", "CREATE FUNCTION public.slow() …"),
    entry("VIEW slower; Type: COMMENT; Schema: public", "COMMENT ON VIEW public.slower IS 'three';"),
    entry("COLUMN slower.n; Type: COMMENT; Schema: public", "COMMENT ON COLUMN public.slower.n IS 'four';"),
  ].join("");
  const dump = BEGINNING + TABLE + SLOW + comments + ROWS + EMPTY + others + END;
  assert.equal(await without(dump, VIEW), BEGINNING + TABLE + ROWS + EMPTY + others + END);
  assert.equal(await without(dump), dump);
  assert.equal(await without(BEGINNING + TABLE + SLOW + END, VIEW), BEGINNING + TABLE + END, "the last one");
});

test("a row is never taken for anything else, whatever it looks like", async () => {
  assert.equal(
    await without(BEGINNING + ROWS + EMPTY + ROWS + END, VIEW),
    BEGINNING + ROWS + EMPTY + ROWS + END,
  );
});

test("a setting that is written behind an entry for the next ones stays", async () => {
  const setting = "SET default_table_access_method = heap;\n\n";
  assert.equal(
    await without(BEGINNING + SLOW + setting + TABLE + END, VIEW),
    `${BEGINNING}${setting.trimEnd()}\n${TABLE}${END}`,
  );
});

test("a materialized view goes with its rows, and a domain is a type", async () => {
  const view = entry("mv; Type: MATERIALIZED VIEW; Schema: public", "CREATE MATERIALIZED VIEW …;");
  const data = entry(
    "mv; Type: MATERIALIZED VIEW DATA; Schema: public",
    "REFRESH MATERIALIZED VIEW public.mv;",
  );
  const domain = entry("d; Type: DOMAIN; Schema: public", "CREATE DOMAIN public.d AS integer;");
  const about = entry("DOMAIN d; Type: COMMENT; Schema: public", "COMMENT ON DOMAIN public.d IS 'x';");
  const entries = [
    { type: "MATERIALIZED VIEW", schema: "public", tag: "mv", comment: "mv" },
    { type: "TYPE", schema: "public", tag: "d", comment: "d" },
  ];
  assert.equal(
    await without(BEGINNING + view + domain + about + TABLE + data + END, ...entries),
    BEGINNING + TABLE + END,
  );
});
