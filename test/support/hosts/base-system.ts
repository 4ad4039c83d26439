import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Made once, as it takes minutes; named by what it is made of, so it may be deleted, but is never wrong. */
const CACHE = fileURLToPath(new URL("../../../.lab/cache/hosts", import.meta.url));

export interface BaseSystem {
  /** "bookworm", "trixie", "sid". */
  readonly suite: string;
  readonly packages: readonly string[];
  /** Packages that only a newer suite has. */
  readonly newer?: { readonly suite: string; readonly packages: readonly string[] };
}

const BOOTABLE = [
  ...["systemd", "systemd-sysv", "dbus", "libpam-systemd", "ca-certificates", "iproute2", "procps"],
  ...["openssh-server", "openssh-client", "netbase", "gnupg", "openssl"],
];

const CERTIFICATES = "etc/ssl/certs/ca-certificates.crt";

/** The folder with the root file system of a Debian, made if it is not there. Throws when it cannot be made. */
export function baseSystem(base: BaseSystem): string {
  for (const program of ["debootstrap", "systemd-nspawn"])
    if (spawnSync("sh", ["-c", `command -v ${program}`]).status !== 0)
      throw new Error(`${program} is missing: apt-get install debootstrap systemd-container`);
  if (process.getuid?.() !== 0)
    throw new Error("machines are made and started as root: sudo npm run test:hosts");
  const hash = createHash("sha256")
    .update(JSON.stringify([base, BOOTABLE, 1]))
    .digest("hex")
    .slice(0, 12);
  const folder = join(CACHE, `${base.suite}-${hash}`);
  if (existsSync(folder)) return folder;
  mkdirSync(CACHE, { recursive: true });
  const unfinished = `${folder}.unfinished`;
  rmSync(unfinished, { recursive: true, force: true });
  make(base, unfinished);
  renameSync(unfinished, folder);
  return folder;
}

function make({ suite, packages, newer }: BaseSystem, folder: string): void {
  const mirror = mirrorOfThisMachine();
  const keyring = "--keyring=/usr/share/keyrings/debian-archive-keyring.gpg";
  execute("debootstrap", [
    ...["--variant=minbase", keyring, `--include=${BOOTABLE.join(",")}`, suite, folder],
    ...(mirror === undefined ? [] : [mirror]),
  ]);
  trustAsThisMachine(folder);
  const [, source] = readFileSync(join(folder, "etc/apt/sources.list"), "utf8").split(/\s+/);
  // A mirror may be kept as it was on one day. The packages stay there, to be installed again without a network.
  writeFileSync(
    join(folder, "etc/apt/apt.conf.d/99lab"),
    'Acquire::Check-Valid-Until "false";\nBinary::apt::APT::Keep-Downloaded-Packages "true";\nAPT::Keep-Downloaded-Packages "true";\n',
  );
  if (newer) {
    writeFileSync(join(folder, "etc/apt/sources.list.d/newer.list"), `deb ${source!} ${newer.suite} main\n`);
    writeFileSync(
      join(folder, "etc/apt/preferences.d/newer"),
      `Package: *\nPin: release n=${newer.suite}\nPin-Priority: 100\n`,
    );
  }
  // No service is started while it is made (Debian Policy, 9.3.3.2).
  writeFileSync(join(folder, "usr/sbin/policy-rc.d"), "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  const install = "apt-get install --yes --quiet --no-install-recommends";
  const commands = [
    "apt-get --quiet update",
    ...(packages.length === 0 ? [] : [`${install} ${packages.join(" ")}`]),
    ...(newer ? [`${install} --target-release ${newer.suite} ${newer.packages.join(" ")}`] : []),
  ];
  runInside(folder, commands.join(" && "));
  rmSync(join(folder, "usr/sbin/policy-rc.d"));
  rmSync(join(folder, "etc/resolv.conf"), { force: true });
  writeFileSync(join(folder, "etc/machine-id"), "");
  writeFileSync(join(folder, "etc/default/locale"), "LANG=C.UTF-8\n");
  symlinkSync("/usr/share/zoneinfo/UTC", join(folder, "etc/localtime.lab"));
  renameSync(join(folder, "etc/localtime.lab"), join(folder, "etc/localtime"));
}

/** Where this machine has its own Debian packages from; undefined for debootstrap's default. */
function mirrorOfThisMachine(): string | undefined {
  const listed = spawnSync("apt-get", ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"], {
    encoding: "utf8",
  });
  return listed.stdout.split("\n").find((uri) => /\/debian\/?$/.test(uri));
}

/** The certificate authorities of this machine, which may reach the network through a proxy of its own. */
function trustAsThisMachine(folder: string): void {
  if (existsSync(join("/", CERTIFICATES))) copyFileSync(join("/", CERTIFICATES), join(folder, CERTIFICATES));
}

/** Runs a shell command in a root file system that is not booted, with this machine's network. */
export function runInside(folder: string, command: string, options: readonly string[] = []): string {
  return execute("systemd-nspawn", [
    ...["--quiet", "--register=no", "--keep-unit", "--directory", folder, "--bind-ro=/etc/resolv.conf"],
    ...["--setenv=DEBIAN_FRONTEND=noninteractive", "--setenv=HOME=/root", ...options],
    ...["sh", "-c", command],
  ]);
}

function execute(program: string, args: readonly string[]): string {
  const ran = spawnSync(program, args, {
    encoding: "utf8",
    maxBuffer: 256 * 1024 * 1024,
    stdio: ["ignore", "pipe", "pipe"],
  });
  if (ran.status === 0) return ran.stdout;
  const said = `${ran.stdout}${ran.stderr}`.split("\n").slice(-30).join("\n");
  throw new Error(
    `${program} ${args.join(" ")} failed (${ran.status ?? ran.signal ?? ran.error?.message ?? "?"}):\n${said}`,
  );
}

/** A copy of a root file system; on a file system that can, its blocks are shared. */
export function copyOf(base: string, folder: string): void {
  execFileSync("cp", ["--archive", "--reflink=auto", "--no-target-directory", base, folder]);
}
