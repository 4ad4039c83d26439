import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import fc from "fast-check";
import { CACHE_DEFAULT, clientFileSeconds, serverFileSeconds } from "../../src/delegation/cache-time.ts";
import { MINIMUM_WAIT, safeFrom } from "../../src/delegation/safe-from.ts";
import { parseServerName } from "../../src/delegation/server-name.ts";
import { synapsePython } from "../support/lab/synapse-server.ts";

const NOW = Date.UTC(2026, 10, 25, 12);
const HOUR = 3600;
const inSeconds = (seconds: number) => new Date(NOW + seconds * 1000).toUTCString();

const HEADERS: readonly Readonly<Record<string, string>>[] = [
  {},
  { "cache-control": "max-age=3600" },
  { "cache-control": "Public, Max-Age=3600, must-revalidate" },
  { "cache-control": "max-age=1" },
  { "cache-control": "max-age=0" },
  { "cache-control": "max-age=99999999" },
  { "cache-control": "no-store" },
  { "cache-control": "no-store, max-age=3600" },
  { "cache-control": "max-age=" },
  { "cache-control": "max-age=soon" },
  { "cache-control": "no-cache" },
  { expires: inSeconds(7200) },
  { expires: inSeconds(-7200) },
  { expires: "0" },
  { expires: inSeconds(7200), "cache-control": "max-age=600" },
  { expires: inSeconds(7200), "cache-control": "max-age=never" },
  { expires: inSeconds(900_000) },
];

const NAMES = [
  "example.org",
  "example.org:8448",
  "EXAMPLE.org",
  "192.0.2.1",
  "192.0.2.1:443",
  "[2001:db8::1]",
  "[2001:db8::1]:8448",
  "2001:db8::1",
  "localhost",
  "",
  "example.org:",
  "example.org:port",
  "[2001:db8::1",
  "[example]",
  "exa mple.org",
  "example.org/path",
  "_matrix.example.org",
  "ünder.example",
];

/** What Synapse itself makes of the same headers and names: seconds, and host and port or null. */
function synapse(): { seconds: number[]; names: ([string, number | null] | null)[] } {
  const script = `
import json, sys
from twisted.web.http_headers import Headers
from synapse.http.federation import well_known_resolver as w
from synapse.util.stringutils import parse_and_validate_server_name
given = json.load(sys.stdin)
def kept(headers):
    period = w._cache_period_from_headers(Headers({k: [v] for k, v in headers.items()}), lambda: given["now"])
    if period is None:
        return w.WELL_KNOWN_DEFAULT_CACHE_PERIOD
    return max(min(period, w.WELL_KNOWN_MAX_CACHE_PERIOD), w.WELL_KNOWN_MIN_CACHE_PERIOD)
def name(text):
    try:
        return parse_and_validate_server_name(text)
    except ValueError:
        return None
print(json.dumps({"seconds": [kept(h) for h in given["headers"]], "names": [name(t) for t in given["names"]]}))`;
  const input = JSON.stringify({ headers: HEADERS, names: NAMES, now: NOW / 1000 });
  return JSON.parse(execFileSync(synapsePython(), ["-c", script], { input, encoding: "utf8" })) as ReturnType<
    typeof synapse
  >;
}

test("server names are read, and their well-known files are kept, as Synapse does it", () => {
  const theirs = synapse();
  assert.deepEqual(
    HEADERS.map((headers) => [headers, serverFileSeconds(new Headers(headers), NOW)]),
    HEADERS.map((headers, index) => [headers, theirs.seconds[index]]),
  );
  const ours = NAMES.map((text) => [text, parseServerName(text)]).map(([text, name]) => [
    text,
    typeof name === "object" ? [name.host, name.port ?? null] : null,
  ]);
  const plain = (host: string) => host.toLowerCase().replace(/^\[(.*)\]$/, "$1");
  assert.deepEqual(
    ours,
    NAMES.map((text, index) => {
      const read = theirs.names[index];
      return [text, read ? [plain(read[0]), read[1]] : null];
    }),
  );
});

test("a port that no server can have is no port, though Synapse lets it pass", () => {
  assert.equal(parseServerName("example.org:65535")?.port, 65535);
  for (const port of [0, 65536, 123456]) assert.equal(parseServerName(`example.org:${port}`), undefined);
});

test("a name that no web address can hold is none", () => {
  for (const text of ["example.123", "300.1.1.1", "0x7f.1", "example..org", `${"x".repeat(64)}.org`])
    assert.equal(parseServerName(text), undefined, text);
});

test("a cache on the way keeps the file as well, before the other server does", () => {
  const kept = (headers: Record<string, string>) => serverFileSeconds(new Headers(headers), NOW);
  assert.equal(kept({ "cache-control": "max-age=600, s-maxage=7200" }), 600 + 7200);
  assert.equal(kept({ "cache-control": "max-age=600", age: "10" }), 600 + 600);
  assert.equal(kept({ "cache-control": "private, max-age=600", age: "10" }), 600);
  assert.equal(kept({ age: "10" }), CACHE_DEFAULT);
});

test("browsers keep the client file as HTTP says", () => {
  const kept = (headers: Record<string, string>) => clientFileSeconds(new Headers(headers), NOW);
  assert.equal(kept({}), 0);
  assert.equal(kept({ "cache-control": "max-age=60" }), 60);
  assert.equal(kept({ "cache-control": "no-cache, max-age=60" }), 0);
  assert.equal(kept({ "cache-control": "no-store" }), 0);
  assert.equal(kept({ expires: inSeconds(7200) }), 7200);
  // A tenth of how old the file is, when nothing is said: that is what browsers take.
  assert.equal(kept({ "last-modified": inSeconds(-100 * HOUR) }), 10 * HOUR);
});

const waits = fc.array(
  fc.record({ what: fc.string({ maxLength: 5 }), seconds: fc.integer({ min: 0, max: 4_000_000 }) }),
  { maxLength: 8 },
);

test("nobody has the old address at the time that is called safe, and no time is given away", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4e12 }), waits, (loweredAt, given) => {
      const { safeFrom: at, waits: told } = safeFrom(loweredAt, given);
      // Whoever asked at the moment of lowering has forgotten by then, whatever they asked for.
      for (const { seconds } of given) assert.ok(loweredAt + seconds * 1000 <= at);
      assert.ok(loweredAt + 48 * HOUR * 1000 <= at);
      // A second earlier, somebody would still know.
      assert.ok([...given, MINIMUM_WAIT].some(({ seconds }) => loweredAt + seconds * 1000 > at - 1000));
      assert.deepEqual(told.length, given.length + 1);
      assert.ok(told.every(({ seconds }, index) => index === 0 || seconds <= told[index - 1]!.seconds));
    }),
  );
});

test("one wait more never makes it safe sooner, and later lowering is later safety", () => {
  fc.assert(
    fc.property(waits, waits, fc.nat({ max: 1e9 }), (given, more, delay) => {
      assert.ok(safeFrom(0, [...given, ...more]).safeFrom >= safeFrom(0, given).safeFrom);
      assert.equal(safeFrom(delay, given).safeFrom - safeFrom(0, given).safeFrom, delay);
    }),
  );
});
