import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { Interrupted } from "../../../src/errors.ts";
import { readHomeserver } from "../../../src/homeserver/read.ts";
import type { Launch } from "../../../src/homeserver/service/find/launch.ts";
import { sourceVersion } from "../../../src/homeserver/version/source.ts";
import { readTargetVersion } from "../../../src/homeserver/version/target.ts";
import { realFiles } from "../../../src/system/files/files.ts";
import { realHttp } from "../../../src/system/http/http.ts";
import { machineWith } from "../../support/fake-machine.ts";
import { folderWith, MINIMUM } from "../../support/folder-with.ts";
import { programsWith, scriptsIn } from "../../support/real-world.ts";

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

async function serving(t: TestContext, answer: Answer): Promise<string> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const saying = (body: string, headers: Record<string, string> = {}, status = 200): Answer => {
  return (_, response) => response.writeHead(status, headers).end(body);
};
const synapse = (version: string) => JSON.stringify({ server: { name: "Synapse", version } });
const signal = new AbortController().signal;

const launch = (more: Partial<Launch>): Launch => ({
  kind: "unit",
  from: "the unit hs.service",
  name: "hs.service",
  isRunning: false,
  startsAutomatically: false,
  app: "synapse.app.homeserver",
  configPaths: [],
  workingFolder: "/",
  map: [],
  account: undefined,
  program: undefined,
  overrides: [],
  ...more,
});

async function asked(
  t: TestContext,
  given: { listeners?: string; launch?: Launch; dpkg?: string; url?: string },
) {
  const folder = folderWith(t, { "a.yaml": `${MINIMUM}${given.listeners ?? ""}` });
  const homeserver = await readHomeserver({ configPaths: ["a.yaml"], workingFolder: folder }, realFiles);
  const programs = programsWith({
    PATH: scriptsIn(given.dpkg === undefined ? {} : { "dpkg-query": given.dpkg }),
  });
  const found = await sourceVersion(
    homeserver,
    given.launch,
    { http: realHttp, programs, files: realFiles, signal },
    given.url,
  );
  return found && `${found.version.text} from ${found.from}`;
}

test("the running server itself is asked first", async (t) => {
  const url = await serving(t, saying(synapse("1.163.2 (b=develop,abc)")));
  const port = new URL(url).port;
  const listeners = `listeners: [{port: ${port}, bind_addresses: [127.0.0.1], resources: [{names: [client]}]}]\n`;
  assert.equal(await asked(t, { listeners }), `1.163.2 (b=develop,abc) from ${url}`);
  assert.equal(await asked(t, { url }), `1.163.2 (b=develop,abc) from ${url}`);
});

test("a listener without federation says it in its header", async (t) => {
  const url = await serving(t, saying('{"errcode":"M_UNRECOGNIZED"}', { server: "Synapse/1.150.0" }, 404));
  assert.equal(await asked(t, { url }), `1.150.0 from ${url}`);
});

test("a server that is down is known from its image, its Python, or Debian's packages", async (t) => {
  const image = launch({ version: "v1.99.0", from: "the docker container synapse" });
  assert.equal(await asked(t, { launch: image }), "v1.99.0 from the image of the docker container synapse");

  const venv = folderWith(t, {
    "lib/python3.11/site-packages/matrix_synapse-1.140.0.dist-info/METADATA": "",
    "lib/python3.11/site-packages/matrix_synapse_extra-9.9.dist-info/METADATA": "",
    "bin/python": "",
  });
  assert.equal(
    await asked(t, { launch: launch({ program: join(venv, "bin/python") }) }),
    `1.140.0 from ${join(venv, "lib/python3.11/site-packages")}`,
  );
  // In a container this is another Python than the host's at the same path.
  const elsewhere = [{ inside: "/data", outside: "/srv" }];
  assert.equal(
    await asked(t, { launch: launch({ program: join(venv, "bin/python"), map: elsewhere }) }),
    undefined,
  );

  const dpkg = 'case "$4" in *py3) echo "ii  1.120.2+bookworm1";; *) echo "ii  0.1";; esac';
  assert.equal(await asked(t, { dpkg }), "1.120.2+bookworm1 from the package matrix-synapse-py3");
  const removed = 'case "$4" in *py3) echo "rc  1.120.2";; *) echo "no packages found" >&2; exit 1;; esac';
  assert.equal(await asked(t, { dpkg: removed }), undefined);
  assert.equal(await asked(t, {}), undefined);
});

function target(url: string, now?: () => number) {
  return readTargetVersion(url, { http: realHttp, machine: machineWith(now ? { now } : {}), signal });
}

test("the target is asked for its version and its time", async (t) => {
  const date = "Tue, 01 Dec 2026 12:00:00 GMT";
  const url = await serving(t, saying(synapse("1.163.2"), { date }));
  const found = await target(`${url}/`, () => Date.parse(date) - 90_000);
  assert.equal(found.version?.text, "1.163.2");
  assert.equal(found.url, url);
  assert.ok([90, 91].includes(found.clockAhead!), String(found.clockAhead));
  assert.equal(found.trouble, undefined);
});

test("a target that is something else, or does not answer, is told in words", async (t) => {
  const other = await serving(t, saying('{"server":{"name":"Dendrite\\u001b[31m","version":"0.13"}}'));
  assert.deepEqual((({ version, name }) => [version, name])(await target(other)), [
    undefined,
    "Dendrite?[31m 0.13",
  ]);
  const page = await serving(t, saying("<html>", { date: "never" }, 502));
  const { trouble, clockAhead } = await target(page);
  assert.match(trouble!, /status 502/);
  assert.equal(clockAhead, undefined);
  const list = await serving(t, saying('["server"]'));
  assert.match((await target(list)).trouble!, /no version/);
  const gone = await serving(t, saying(""));
  assert.match((await target(gone.replace(/\d+$/, "1"))).trouble!, /refused/);
  assert.ok((await target("http://no-such-name.invalid")).trouble);
});

test("asking ends when the run is to stop", async (t) => {
  const url = await serving(t, () => undefined);
  const stop = new AbortController();
  const asking = readTargetVersion(url, { http: realHttp, machine: machineWith(), signal: stop.signal });
  stop.abort(new Interrupted("SIGINT"));
  await assert.rejects(asking, Interrupted);
});
