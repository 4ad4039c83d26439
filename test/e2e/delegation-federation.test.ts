import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type DnsServerInTest, startDnsServer } from "../support/dns-server.ts";
import { type HomeserverFolder, makeHomeserverFolder } from "../support/lab/homeserver-folder.ts";
import { type MatrixClient, register } from "../support/lab/matrix-client.ts";
import { ProxyServer } from "../support/lab/proxy-server.ts";
import { freePort } from "../support/lab/server-process.ts";
import { synapsePython, SynapseServer } from "../support/lab/synapse-server.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { makeSqlitePlace, type SqlitePlace } from "../support/old-sqlite.ts";
import { scenario } from "../support/scenario.ts";
import { resultOf, synlift, synliftWell } from "../support/synlift.ts";
import { TestAuthority } from "../support/test-authority.ts";

// Two real servers that federate by real DNS, TLS and nginx, on the real ports, in a network of their own; one is moved. This
// file runs itself once more inside that network.

const INSIDE = "SYNLIFT_TEST_NETWORK";
const RESOLVER = "127.0.0.53";
/** What `open` ends with, filled in. */
const CHECK_TO_TYPE =
  /synlift delegation check moving\.example --client-url https:\/\/matrix\.moving\.example --signing-key 'ed25519:a_\w+ \S+'/;

if (process.env[INSIDE] === undefined)
  test("a server is moved, and the next message of another one arrives at the new host", async () => {
    const folder = temporaryFolder("network");
    writeFileSync(join(folder, "resolv.conf"), `nameserver ${RESOLVER}\noptions timeout:5\n`);
    const script = `ip link set lo up; mount --bind "$1" /etc/resolv.conf; exec "$2" "$3"`;
    const user = process.getuid?.() === 0 ? [] : ["--map-root-user"];
    const args = ["sh", "-ec", script, "sh", join(folder, "resolv.conf"), process.execPath];
    const child = spawn("unshare", ["--net", "--mount", ...user, ...args, fileURLToPath(import.meta.url)], {
      env: { ...process.env, NODE_TEST_CONTEXT: "", [INSIDE]: "yes" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let said = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => (said += text));
    const code = await new Promise((resolve) => child.on("close", resolve));
    assert.equal(code, 0, said);
    assert.match(said, /pass [1-9]/, "the tests inside were run");
  });
else inside();

function inside(): void {
  const { step } = scenario();
  const [OLD, NEW, OTHER] = ["127.0.0.10", "127.0.0.20", "127.0.0.30"];
  const authority = new TestAuthority();
  const folder = temporaryFolder("federation");
  const trusted = join(folder, "authority.pem");
  writeFileSync(trusted, authority.pem);
  for (const name of ["moving.example", "other.example"]) {
    const { key, cert } = authority.sign([name, `*.${name}`]);
    writeFileSync(join(folder, `${name}.pem`), cert);
    writeFileSync(join(folder, `${name}.key`), key);
  }
  const out = join(folder, "delegation");
  const env = { NODE_EXTRA_CA_CERTS: trusted };

  let dns: DnsServerInTest;
  const proxies: Record<string, ProxyServer> = {};
  const servers: SynapseServer[] = [];
  let home: HomeserverFolder;
  let alice: MatrixClient;
  let bob: MatrixClient;
  let roomId = "";
  let place: SqlitePlace | undefined;

  after(async () => {
    if (place && existsSync(join(place.configDir, "homeserver.pid")))
      execFileSync("sh", ["-c", place.stopCommand]);
    for (const server of servers) await server.stop();
    for (const proxy of Object.values(proxies)) await proxy[Symbol.asyncDispose]();
    await dns[Symbol.asyncDispose]();
  });

  const zonesWith = (address: string) => ({
    "moving.example": [`moving.example 300 A ${address}`, `matrix.moving.example 300 A ${address}`],
    "other.example": [`other.example 300 A ${OTHER}`],
  });

  async function startServer(serverName: string): Promise<[HomeserverFolder, SynapseServer]> {
    const made = await makeHomeserverFolder({
      serverName,
      settings: {
        public_baseurl: `https://matrix.${serverName}/`,
        federation_domain_whitelist: ["moving.example", "other.example"],
        federation_custom_ca_list: [trusted],
        federation_ip_range_blacklist: [],
        ip_range_blacklist: [],
        // A server that was away is tried again soon: a slow machine must not make the test wait for ten minutes.
        federation: { destination_min_retry_interval: "1s", destination_max_retry_interval: "2s" },
        send_federation: true,
      },
    });
    const server = new SynapseServer({ configFiles: [made.configFile], folder: made.dataFolder });
    servers.push(server);
    await server.start();
    return [made, server];
  }

  /** A web server at one address, with what it answers by itself and a Synapse behind it. */
  async function startProxy(
    name: string,
    address: string,
    own: string,
    synapse: string,
  ): Promise<ProxyServer> {
    const port = await freePort();
    const site = `server { listen 127.0.0.1:${port}; return 204; }
server { listen ${address}:443 ssl; server_name ${name} *.${name};
ssl_certificate ${folder}/${name}.pem; ssl_certificate_key ${folder}/${name}.key;
${own}
location / { proxy_pass ${synapse}; proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto https; } }
`;
    return ProxyServer.start("nginx", site, port);
  }

  const answering = (path: string, body: string) =>
    `location = /.well-known/matrix/${path} { default_type application/json; add_header Access-Control-Allow-Origin * always; return 200 '${body}'; }`;

  async function arrives(client: MatrixClient, text: string): Promise<void> {
    for (let attempt = 0; attempt < 600; attempt++) {
      if ((await client.messages(roomId)).includes(text)) return;
      await wait(200);
    }
    assert.fail(`"${text}" does not arrive at ${client.baseUrl}`);
  }

  step("two servers find each other by DNS and well-known files, and talk", async () => {
    dns = await startDnsServer({ address: RESOLVER, port: 53, zones: zonesWith(OLD) });
    const [[moving, first], [others, second]] = await Promise.all([
      startServer("moving.example"),
      startServer("other.example"),
    ]);
    home = moving;
    const files = [
      answering("server", '{"m.server": "matrix.moving.example:443"}'),
      answering(
        "client",
        '{"m.homeserver": {"base_url": "https://matrix.moving.example"}, "io.element.e2ee": {"default": true}}',
      ),
    ];
    proxies["old"] = await startProxy("moving.example", OLD, files.join("\n"), first.baseUrl);
    const server = answering("server", '{"m.server": "other.example:443"}');
    proxies["other"] = await startProxy("other.example", OTHER, server, second.baseUrl);
    alice = await register(first.baseUrl, moving.registrationSharedSecret, {
      name: "alice",
      password: "pw-alice",
    });
    bob = await register(second.baseUrl, others.registrationSharedSecret, {
      name: "bob",
      password: "pw-bob",
    });
    roomId = await alice.createRoom({ preset: "public_chat", invite: [bob.session.userId] });
    await bob.join(roomId);
    await bob.send(roomId, "before the move");
    await arrives(alice, "before the move");
  });

  step("the files for the change are written, and the address that is there passes what it can", async () => {
    await synliftWell(
      [
        ...["delegation", "files", "moving.example", "--client-url", "https://matrix.moving.example"],
        ...["--federation", "matrix.moving.example:443", "--address", NEW, "--out", out],
      ],
      { env },
    );
    assert.equal(
      readFileSync(join(out, "dns-add.zone"), "utf8").split("\n")[1],
      `matrix.moving.example. 300 IN A ${NEW}`,
    );
    const { code, stdout } = await synlift(
      ["delegation", "check", "moving.example", "--expect", join(out, "expected.json"), "--tap"],
      { env },
    );
    assert.equal(code, 61);
    const failed = stdout.split("\n").filter((line) => line.startsWith("not ok"));
    assert.ok(
      failed.length > 0 && failed.every((line) => line.includes("old-address")),
      `only the address is the old one:\n${stdout}`,
    );
  });

  step("the server is exported, restored on the new host and opened there", async () => {
    await servers[0]!.stop();
    const bundle = join(folder, "bundle");
    place = makeSqlitePlace(await freePort());
    const config = ["--config", home.configFile, "--working-directory", home.dataFolder];
    await synliftWell(["export", ...config, "--out", bundle, "--json"], { env });
    const passphrase = ["--passphrase-file", `${bundle}.passphrase`];
    await synliftWell(["restore", bundle, ...passphrase, ...place.restoreArgs, "--json"], { env });
    const { stdout } = await synliftWell(
      [
        ...["open", "--config-dir", place.configDir, "--synapse", synapsePython(), ...passphrase],
        ...["--start-command", place.startCommand, "--stop-command", place.stopCommand],
      ],
      { env },
    );
    assert.match(stdout.replaceAll(/\\\s+/g, " ").replaceAll(/\s+/g, " "), CHECK_TO_TYPE);
    assert.notEqual(place.url, alice.baseUrl);
    alice = alice.at(place.url);
  });

  step("the new host is checked directly, before DNS is changed", async () => {
    const snippet = readFileSync(join(out, "matrix-well-known.nginx.conf"), "utf8");
    proxies["new"] = await startProxy("moving.example", NEW, snippet, place!.url);
    const password = join(folder, "password");
    writeFileSync(password, "pw-alice\n");
    const ran = await synliftWell(
      [
        ...["delegation", "check", "moving.example", "--expect", join(out, "expected.json"), "--at", NEW],
        ...["--login", "alice", "--password-file", password, "--json"],
      ],
      { env },
    );
    assert.deepEqual(
      resultOf(ran).findings.filter(({ level }) => level === "warning" || level === "blocker"),
      [],
    );
  });

  step("after the change every check passes by name, and the other server knows the same key", async () => {
    await dns[Symbol.asyncDispose]();
    dns = await startDnsServer({ address: RESOLVER, port: 53, zones: zonesWith(NEW) });
    await proxies["old"]![Symbol.asyncDispose]();
    const ran = await synliftWell(
      [
        ...["delegation", "check", "moving.example", "--expect", join(out, "expected.json"), "--json"],
        ...["--notary", "other.example", "--resolver", RESOLVER],
      ],
      { env },
    );
    const { findings } = resultOf(ran);
    for (const id of ["signing-key", "signature", "notary", "well-known-client", "cors"])
      assert.equal(findings.find((one) => one.id === `delegation-${id}`)?.level, "ok", id);
  });

  step("the other server's next message arrives at the new host, and an answer goes back", async () => {
    await bob.send(roomId, "after the move");
    await arrives(alice, "after the move");
    await alice.send(roomId, "from the new host");
    await arrives(bob, "from the new host");
  });
}
