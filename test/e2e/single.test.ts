import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import {
  copyFileSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { VERSION } from "../../src/system/version.ts";
import { PostgresCluster } from "../support/lab/postgres-cluster.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { makeMiniSynapse, UPLOADS, uploadBytes } from "../support/mini-synapse.ts";
import { scenario } from "../support/scenario.ts";
import { type HomeserverFolder } from "../support/lab/homeserver-folder.ts";
import { makeSmallHomeserver } from "../support/small-homeserver.ts";

// synlift as one file: built twice, and the first move with it where there is nothing else but what the guide needs.

const { step, check } = scenario();

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const NAME = `synlift-linux-${process.arch}`;
/** Of the guide's commands: gzip is gunzip's program, and the last two come with its split and cat. */
const PROGRAMS = ["gpg", "tar", "gzip", "mkfifo", "sync"];
const SECRET = { name: "psycopg2", user: "mover", password: "a-password-of-the-database" } as const;

const work = temporaryFolder("single");
const built = join(work, "built");
const single = join(built, NAME);

let cluster: PostgresCluster;
let home: HomeserverFolder;
let root: string;

before(async () => {
  cluster = await PostgresCluster.start();
  await makeMiniSynapse(cluster, "old");
  const { host, port } = cluster.address;
  home = await makeSmallHomeserver({
    database: {
      name: SECRET.name,
      args: { host, port, user: SECRET.user, password: SECRET.password, dbname: "old" },
    },
  });
  // More names than are walked without a thread.
  for (let index = 0; index < 120; index++) {
    const folder = join(home.mediaStorePath, "local_thumbnails", `n${index}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "left-over"), `${index}`);
  }
});

after(async () => {
  await cluster.stop();
});

const build = (project: string, folder: string) =>
  execFileSync(process.execPath, [join(project, "scripts/single.ts"), folder], { encoding: "utf8" });

step(
  "a build has the executables of both architectures, their licences, a bill of materials, and sums that are right",
  () => {
    build(ROOT, built);
    assert.deepEqual(readdirSync(built).sort(), [
      ...["LICENSES.txt", "SHA256SUMS", "completions", "man", "sbom.json"],
      ...["synlift-linux-arm64", "synlift-linux-x64"],
    ]);
    execFileSync("sha256sum", ["--check", "--strict", "--quiet", "SHA256SUMS"], { cwd: built });
    const packages = productionPackages();
    assert.ok(packages.length > 5);
    const bill = JSON.parse(readFileSync(join(built, "sbom.json"), "utf8")) as {
      components: { name: string; version: string }[];
    };
    const licences = readFileSync(join(built, "LICENSES.txt"), "utf8");
    for (const name of ["node", ...packages]) {
      const component = bill.components.find((one) => one.name === name);
      assert.ok(component, `the bill of materials lacks ${name}`);
      if (name !== "node")
        assert.ok(licences.includes(`${name} ${component.version}`), `no licence of ${name}`);
    }
    assert.equal(run(single, ["--licenses"]).stdout, licences);
    for (const [architecture, machine] of [
      ["x64", 0x3e],
      ["arm64", 0xb7],
    ] as const)
      assert.equal(readFileSync(join(built, `synlift-linux-${architecture}`)).readUInt16LE(18), machine);
  },
);

step("built from a copy in another folder, it has the same bytes", () => {
  const copy = join(work, "elsewhere/project");
  for (const name of [
    "src",
    "scripts",
    "package.json",
    "package-lock.json",
    "LICENSE",
    "bin",
    "tsconfig.json",
  ])
    cpSync(join(ROOT, name), join(copy, name), { recursive: true });
  for (const name of ["node_modules", ".lab"]) symlinkSync(realpathSync(join(ROOT, name)), join(copy, name));
  build(copy, join(work, "again"));
  assert.equal(
    readFileSync(join(work, "again/SHA256SUMS"), "utf8"),
    readFileSync(join(built, "SHA256SUMS"), "utf8"),
  );
});

step("it says its version without a word on standard error", () => {
  assert.deepEqual(run(single, ["--version"]), { status: 0, stdout: `${VERSION}\n`, stderr: "" });
});

check("its help is that of a checkout", () => {
  const fromCheckout = run(process.execPath, [join(ROOT, "src/main.ts"), "--help"]);
  assert.deepEqual(run(single, ["--help"]), fromCheckout);
});

check("it is linked with nothing but what the README names and every Debian has", () => {
  const linked = execFileSync("ldd", [single], { encoding: "utf8" });
  const libraries = [...linked.matchAll(/^\s+(lib\S+) => /gm)].map(([, name]) => name!);
  const everywhere = [
    "libc.so.6",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
    "libstdc++.so.6",
  ];
  assert.deepEqual(
    libraries.filter((name) => !everywhere.includes(name)),
    ["libatomic.so.1"],
  );
  assert.match(
    readFileSync(join(ROOT, "README.md"), "utf8"),
    /libatomic\.so\.1`,\n`apt-get install libatomic1`/,
  );
});

check("it reads nothing from the current folder", () => {
  const folder = join(work, "traps");
  mkdirSync(join(folder, "node_modules/commander"), { recursive: true });
  for (const name of [".env", "package.json", ".npmrc", "node.config.json", "synlift.cjs", "openssl.cnf"])
    writeFileSync(join(folder, name), "!");
  writeFileSync(join(folder, "node_modules/commander/index.js"), "throw new Error('mine')");
  for (const args of [["--version"], ["plan", "--help"], ["status", "--out", "/nowhere"]]) {
    const trace = join(work, "trace");
    spawnSync("strace", ["-f", "-qq", "-e", "trace=%file", "-o", trace, single, ...args], {
      cwd: folder,
      env: { PATH: process.env["PATH"], NODE_OPTIONS: `--require ${join(folder, "synlift.cjs")}` },
    });
    const calls = readFileSync(trace, "utf8").split("\n");
    assert.ok(calls.length > 10, "strace has recorded nothing");
    const inside = calls.filter((call) => {
      const path = /"([^"]*)"/.exec(call)?.[1] ?? "/";
      return !/getcwd|execve|AT_EMPTY_PATH/.test(call) && (!path.startsWith("/") || path.startsWith(folder));
    });
    assert.deepEqual(inside, [], args.join(" "));
  }
});

check("a bucket is looked for, with the package that is loaded for that only", () => {
  const bucket = join(work, "bucket.yaml");
  const provider = {
    module: "s3_storage_provider.S3StorageProviderBackend",
    store_local: true,
    config: {
      ...{ bucket: "media", endpoint_url: "http://127.0.0.1:1" },
      ...{ access_key_id: "a", secret_access_key: "b" },
    },
  };
  const settings = { media_store_path: join(work, "no-media"), media_storage_providers: [provider] };
  mkdirSync(settings.media_store_path);
  writeFileSync(bucket, JSON.stringify(settings));
  const { stdout, stderr } = run(single, [
    ...["export", "--config", home.configFile, "--config", bucket, "--working-directory", home.dataFolder],
    ...["--out", join(work, "from-bucket"), "--rehearse", "--json"],
  ]);
  assert.match(stdout + stderr, /bucket media at http:\/\/127\.0\.0\.1:1/);
  assert.doesNotMatch(stdout + stderr, /this is a bug|Cannot find|ERR_/);
});

step("it packs a homeserver in an empty root, where there is no Node", () => {
  root = emptyRoot();
  const { configFile, dataFolder } = home;
  const files = ["--config", configFile, "--working-directory", dataFolder];
  const { status, stdout, stderr } = runInside([
    ...["export", ...files, "--out", "/srv/move", "--already-stopped", "--no-fence", "--json"],
    ...["--accept", "media-orphaned"],
  ]);
  assert.equal(status, 0, `${stdout}\n${stderr}`);
  assert.ok(existsSync(join(root, "srv/move/manifest.json")));
});

step("it restores that bundle there, and database and uploads are those of the old server", async () => {
  const { host, port } = cluster.address;
  const key = ["--passphrase-file", "/srv/move.passphrase"];
  const restored = runInside([
    ...["restore", "/srv/move", ...key, "--database", `host=${host} port=${port} user=mover dbname=new`],
    ...["--config-dir", "/srv/new/config", "--media-dir", "/srv/new/media", "--json"],
  ]);
  assert.equal(restored.status, 0, restored.stderr);
  const verified = runInside(["verify", "/srv/move", ...key, "--json"]);
  assert.equal(verified.status, 0, verified.stderr);
  assert.equal(await cluster.sql("new", "select count(*) from events"), "500");
  const [id] = UPLOADS;
  const upload = join(root, "srv/new/media/local_content", id.slice(0, 2), id.slice(2, 4), id.slice(4));
  assert.deepEqual(readFileSync(upload), Buffer.from(uploadBytes(0)));
});

const productionPackages = () =>
  Object.keys(
    (JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { dependencies: object }).dependencies,
  );

function run(program: string, args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8", maxBuffer: 1e8 });
  return { status, stdout, stderr };
}

/** A root with the executable, the guide's programs and the libraries that they are linked with. */
function emptyRoot(): string {
  const folder = join(work, "root");
  for (const name of ["dev", "etc", "proc", "root", "srv", "tmp", "usr/bin"])
    mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(join(folder, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
  linkSync(single, join(folder, "usr/bin/synlift"));
  const programs = [
    ...PROGRAMS.map((name) => execFileSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" }).trim()),
    ...["psql", "pg_dump"].map((name) => join(cluster.programs, name)),
  ];
  for (const program of programs) copyFileSync(program, join(folder, "usr/bin", basename(program)));
  const linked = execFileSync("ldd", [...programs, single], { encoding: "utf8" });
  const libraries = [...linked.matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path!);
  assert.ok(libraries.length > 10, linked);
  for (const path of new Set(libraries)) {
    mkdirSync(join(folder, dirname(path)), { recursive: true });
    copyFileSync(realpathSync(path), join(folder, path));
  }
  for (const path of readdirSync(join(folder, "usr/bin")))
    assert.ok(statSync(join(folder, "usr/bin", path)).mode & 0o100, path);
  return folder;
}

/** In mounts of its own, which go away with the process. The old homeserver's folder is where it is outside. */
function runInside(args: readonly string[]) {
  const mounts = [
    'mkdir -p "$0$1"',
    'mount --bind "$1" "$0$1"',
    'mount --rbind /dev "$0/dev"',
    'mount -t proc proc "$0/proc"',
    "root=$0",
    "shift",
    'exec chroot "$root" /usr/bin/synlift "$@"',
  ];
  const unshare = ["--mount", ...(process.getuid?.() === 0 ? [] : ["--map-root-user"])];
  const command = ["unshare", ...unshare, "sh", "-ec", mounts.join("\n"), root, home.folder, ...args];
  return run("env", ["-i", "PATH=/usr/bin:/bin:/usr/sbin:/sbin", "HOME=/root", ...command]);
}
