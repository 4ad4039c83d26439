import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { programPath, Refusal, reasonIn, run } from "./run.mjs";
import { python, synapse } from "./synapse.mjs";

/** The demo looks at no pages and goes to no other host: it can do without a browser, which is larger than all the rest. */
const NOT_FOR_DEMO = [
  "apache2-bin",
  "caddy",
  "chromium",
  "fish",
  "haproxy",
  "iproute2",
  "locales",
  "man-db",
  "nginx-light",
  "openssh-client",
  "openssh-server",
  "pgbouncer",
  "rclone",
  "strace",
  "zsh",
];

/** Only test/hosts makes machines. */
const FOR_HOSTS = ["debootstrap", "systemd-container"];

export const debianPackages = (forDemo, forHosts = false) => {
  const needed = () =>
    missing().filter(
      (name) => (!forDemo || !NOT_FOR_DEMO.includes(name)) && (forHosts || !FOR_HOSTS.includes(name)),
    );
  return { what: "Debian packages", there: () => needed().length === 0, bring: () => bring(needed) };
};

/** What the tests run beside Synapse, and how to see that it is there. */
function missing() {
  const packages = [
    ["postgresql", postgresHas("initdb")],
    ["postgresql-client", postgresHas("pg_dump") && programPath("psql")],
    ["pgbouncer", existsSync("/usr/sbin/pgbouncer")],
    ["locales", existsSync("/usr/share/i18n/locales/de_DE")], // for a server that does not speak English
    ["gnupg", programPath("gpg") && programPath("gpg-agent")],
    ["tar", programPath("tar")],
    ["gzip", programPath("gunzip")],
    ["isal", programPath("igzip")],
    ["chromium", programPath("chromium")],
    ["openssl", programPath("openssl")],
    ["openssh-client", programPath("ssh") && programPath("ssh-keygen")],
    ["openssh-server", existsSync("/usr/sbin/sshd")],
    ["nginx-light", existsSync("/usr/sbin/nginx")],
    ["caddy", programPath("caddy")],
    ["haproxy", existsSync("/usr/sbin/haproxy")],
    ["apache2-bin", existsSync("/usr/sbin/apache2")],
    ["iproute2", programPath("ip") || existsSync("/usr/sbin/ip")], // for a network of the tests' own
    ["rclone", programPath("rclone")],
    ["strace", programPath("strace")],
    ["man-db", programPath("man")],
    ["zsh", programPath("zsh")],
    ["fish", programPath("fish")],
    ["debootstrap", existsSync("/usr/sbin/debootstrap")],
    ["systemd-container", programPath("systemd-nspawn")],
    ["util-linux", programPath("setpriv") && programPath("flock")],
    ["python3-venv", synapse.there() || python()], // brings python3 itself as well
  ];
  return packages.filter(([, there]) => !there).map(([name]) => name);
}

async function bring(needed) {
  const packages = needed();
  const install = ["apt-get", "install", "-y", "--no-install-recommends", ...packages];
  const isRoot = process.getuid() === 0;
  const byHand = `type: ${isRoot ? "" : "sudo "}${install.join(" ")}`;
  if (!programPath("apt-get")) throw refusal(packages, "there is no apt-get here", "install them by hand");
  if (!isRoot && (await run("sudo", ["-n", "true"])).code !== 0) {
    throw refusal(packages, "only root may install them", byHand);
  }
  const [program, ...args] = [...(isRoot ? [] : ["sudo", "-n"]), "env", "DEBIAN_FRONTEND=noninteractive"];
  // Its failure says nothing by itself: with an older list the packages may be had all the same.
  await run(program, [...args, "apt-get", "update"]);
  const { output } = await withoutServices(() => run(program, [...args, ...install]));
  const left = needed();
  if (left.length > 0) throw refusal(left, reasonIn(output, /^E: /), byHand);
}

/** Runs an installation that starts no service: the tests start the servers they need, on ports of their own (Debian Policy, 9.3.3.2). */
async function withoutServices(install) {
  const policy = "/usr/sbin/policy-rc.d";
  if (process.getuid() !== 0 || existsSync(policy)) return install();
  writeFileSync(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    return await install();
  } finally {
    rmSync(policy, { force: true });
  }
}

/** Without PostgreSQL the demo takes SQLite, and without Python a sample homeserver. */
function refusal(packages, reason, advice) {
  const serious = packages.some((name) => !/^(postgresql|python3)/.test(name));
  return new Refusal(`the Debian packages ${packages.join(", ")} are missing (${reason}); ${advice}`, {
    serious,
  });
}

function postgresHas(program) {
  const all = "/usr/lib/postgresql";
  return (
    existsSync(all) && readdirSync(all).some((version) => existsSync(join(all, version, "bin", program)))
  );
}
