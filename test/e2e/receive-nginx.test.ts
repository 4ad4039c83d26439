import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { realFiles } from "../../src/system/files/files.ts";
import { realStreamLines } from "../../src/system/http/stream-line.ts";
import { unlimited } from "../../src/transfer/pace.ts";
import { receiverDestination } from "../../src/transfer/tus-store.ts";
import { noise } from "../support/bytes.ts";
import { freePort, ServerProcess } from "../support/lab/server-process.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { startReceiver } from "../support/receiver.ts";
import { localFile } from "../transfer/contract.ts";

const PAGE = new URL("../../docs/providers.md", import.meta.url);
const NEVER = new AbortController().signal;
const ignored = { signal: NEVER, resumed: () => undefined, moved: () => undefined, checked: () => undefined };

test("behind nginx as the page for providers has it, below a path, a file is sent, compared and fetched", async (t) => {
  const server = await startReceiver({}, t);
  const { token, name } = await server.invite("example.org");
  const port = await freePort();
  const folder = temporaryFolder("nginx");
  mkdirSync(join(folder, "tmp"));
  const [, advice] = /```nginx\n([^]*?)```/.exec(readFileSync(PAGE, "utf8"))!;
  const location = advice!
    .replace("location /", "location /moves/")
    .replace("http://127.0.0.1:8449", `${server.origin}/`);
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (kind) => `${kind}_temp_path ${folder}/tmp/${kind};`,
  );
  writeFileSync(
    join(folder, "nginx.conf"),
    `pid ${folder}/pid; error_log stderr; daemon off; user root; events {}
http { access_log off; ${paths.join(" ")} server { listen 127.0.0.1:${port}; ${location} } }`.replace(
      "user root;",
      process.getuid?.() === 0 ? "user root;" : "",
    ),
  );
  const nginx = new ServerProcess({
    program: "/usr/sbin/nginx",
    args: ["-c", join(folder, "nginx.conf"), "-p", folder],
    folder,
  });
  t.after(() => nginx.stop("SIGTERM", 5));
  const url = `http://127.0.0.1:${port}/moves`;
  await nginx.untilReady(
    () =>
      fetch(`${url}/`).then(
        ({ ok }) => ok,
        () => false,
      ),
    60,
  );
  const destination = receiverDestination(
    { url, invitation: { name, token, url: undefined }, authorities: [] },
    { files: realFiles, streamLines: realStreamLines },
    unlimited,
  );
  // More than nginx takes without being told to.
  const bytes = noise(3_000_000);
  const file = localFile("x.part-aa", bytes);
  const remote = await destination.open(NEVER, { create: true });
  assert.equal(await remote.put(file, ignored), "hashed-there");
  const back = temporaryFolder("back");
  await remote.get(file, back, ignored);
  await remote.close();
  assert.ok(readFileSync(join(back, "x.part-aa")).equals(bytes));
  assert.ok(readFileSync(join(server.folder, name, "x.part-aa")).equals(bytes));
});
