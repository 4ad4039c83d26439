import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { appendFileSync, closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { spawn as spawnOnTerminal } from "@lydell/node-pty";
import { copyOf } from "./base-system.ts";

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Exit code of systemd-nspawn(1) when the machine asked to be rebooted. */
const REBOOT = 133;

const BOOT_MINUTES = 5;

/**
 * A Debian of its own on this machine: its own file system, its own systemd as process 1, and a network of its own, in
 * which only another such host can be reached.
 */
export class Host {
  readonly name: string;
  readonly folder: string;
  readonly #namespace: string;
  #nspawn: ChildProcess | undefined;
  #stopped = false;
  readonly #beside: ChildProcess[] = [];

  /** Made from a base system; `within` is an empty folder of the test. */
  constructor(name: string, base: string, within: string) {
    this.name = name;
    this.folder = join(within, name);
    this.#namespace = `synlift-${process.pid}-${name}`;
    copyOf(base, this.folder);
    this.write("/etc/hostname", `${name}\n`);
    execFileSync("ip", ["netns", "add", this.#namespace]);
    this.#ip("link", "set", "lo", "up");
  }

  /** Connects two hosts with each other and nothing else. */
  static connect(one: Host, other: Host, addresses: readonly [string, string]): void {
    execFileSync("ip", [
      ...["link", "add", "eth0", "netns", one.#namespace, "type", "veth"],
      ...["peer", "name", "eth0", "netns", other.#namespace],
    ]);
    for (const [index, host] of [one, other].entries()) {
      host.#ip("address", "add", `${addresses[index]!}/24`, "dev", "eth0");
      host.#ip("link", "set", "eth0", "up");
    }
  }

  /** Writes a file; the path is the host's own. */
  write(path: string, content: string | Uint8Array, mode = 0o644): void {
    mkdirSync(dirname(join(this.folder, path)), { recursive: true });
    writeFileSync(join(this.folder, path), content, { mode });
  }

  async boot(): Promise<void> {
    const console = openSync(join(this.folder, "..", `${this.name}.console`), "a");
    this.#nspawn = spawn(
      "systemd-nspawn",
      [
        ...["--quiet", "--register=no", "--keep-unit", "--directory", this.folder, "--machine", this.name],
        ...[`--network-namespace-path=/run/netns/${this.#namespace}`, "--boot"],
      ],
      { stdio: ["ignore", console, console], env: { ...process.env, UNIFIED_CGROUP_HIERARCHY: "1" } },
    );
    closeSync(console);
    this.#nspawn.once("exit", (code) => {
      if (code === REBOOT && !this.#stopped) void this.boot().catch(() => undefined);
    });
    await this.#untilUp();
  }

  /** Reboots, and returns when it is up again. */
  async reboot(): Promise<void> {
    const before = await this.well(
      "cat /proc/sys/kernel/random/boot_id /proc/1/stat | md5sum; stat -c %Y /proc/1",
    );
    await this.run("systemctl reboot");
    const until = performance.now() + BOOT_MINUTES * 60_000;
    for (;;) {
      await wait(500);
      const after = await this.run(
        "cat /proc/sys/kernel/random/boot_id /proc/1/stat | md5sum; stat -c %Y /proc/1",
      );
      if (after.code === 0 && after.stdout !== before) break;
      if (performance.now() > until) throw new Error(`${this.name} did not reboot`);
    }
    await this.#untilUp();
  }

  /** Runs a bash command as root, as after a login; `input` is its standard input. Does not throw when it fails. */
  async run(command: string, input = ""): Promise<Ran> {
    const leader = this.#leader();
    if (leader === undefined) return { code: null, stdout: "", stderr: `${this.name} does not run` };
    const child = spawn("nsenter", this.#loggedIn(leader, command, "dumb"), {
      stdio: ["pipe", "pipe", "pipe"],
    });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.stdin.on("error", () => undefined).end(input);
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject).once("close", resolve);
    });
    return { code, stdout, stderr };
  }

  /** The standard output of a command that must succeed. */
  async well(command: string, input = ""): Promise<string> {
    const { code, stdout, stderr } = await this.run(command, input);
    if (code === 0) return stdout;
    throw new Error(
      `${this.name}: ${command}\nexit code ${code ?? "none"}\n${stdout.slice(-3000)}\n${stderr.slice(-3000)}`,
    );
  }

  /**
   * Runs a bash command on a terminal of 80 columns. Each answer is typed once its question is on the screen; an answer that
   * was never asked for is an error, and so is a question that nobody answers, which ends with the test's time.
   */
  async typed(
    command: string,
    answers: readonly (readonly [question: RegExp, keys: string])[],
  ): Promise<Ran> {
    const leader = this.#leader();
    if (leader === undefined) return { code: null, stdout: "", stderr: `${this.name} does not run` };
    const terminal = spawnOnTerminal("nsenter", this.#loggedIn(leader, command, "xterm-256color"), {
      cols: 80,
      rows: 40,
    });
    let [screen, seen] = ["", 0];
    const open = [...answers];
    terminal.onData((text) => {
      screen += text;
      const [next] = open;
      if (!next || !next[0].test(screen.slice(seen))) return;
      open.shift();
      seen = screen.length;
      terminal.write(next[1]);
    });
    const code = await new Promise<number>((resolve) => {
      terminal.onExit(({ exitCode, signal }) => {
        resolve(signal === undefined || signal === 0 ? exitCode : 128 + signal);
      });
    });
    if (open.length > 0) throw new Error(`${this.name}: ${command}\nnever asked ${open.join()}:\n${screen}`);
    return { code, stdout: screen, stderr: "" };
  }

  /** Starts a program of this machine in the host's network, which ends with the host at the latest. */
  inItsNetwork(program: string, args: readonly string[]): ChildProcess {
    const started = spawn("ip", ["netns", "exec", this.#namespace, program, ...args], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#beside.push(started);
    return started;
  }

  /** Adds an address to the ones that it has, and tells the other host the way there. */
  addAddress(address: string, other: Host, device = "eth0"): void {
    this.#ip("address", "add", `${address}/32`, "dev", device);
    if (device !== "lo") other.#ip("route", "add", `${address}/32`, "dev", "eth0");
  }

  /** Whether a unit runs. */
  async runs(unit: string): Promise<boolean> {
    return (await this.run(`systemctl is-active --quiet ${unit}`)).code === 0;
  }

  /** Ends it and removes what it was made of. May be called twice. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const child of this.#beside) child.kill();
    const running = this.#nspawn;
    if (running?.exitCode === null && running.signalCode === null) {
      // systemd-nspawn(1): the first signal shuts down, SIGKILL ends it at once with all that runs in it.
      const ended = new Promise((resolve) => running.once("exit", resolve));
      running.kill("SIGTERM");
      const orderly = await Promise.race([ended.then(() => true), wait(60_000, false, { ref: false })]);
      if (!orderly) {
        running.kill("SIGKILL");
        await ended;
      }
    }
    spawnSync("ip", ["netns", "delete", this.#namespace]);
    rmSync(this.folder, { recursive: true, force: true });
  }

  #loggedIn(leader: number, command: string, terminal: string): string[] {
    return [
      ...[
        "--target",
        String(leader),
        "--mount",
        "--uts",
        "--ipc",
        "--net",
        "--pid",
        "--cgroup",
        "--root",
        "--wd",
      ],
      ...["env", "-i", "HOME=/root", "USER=root", "LOGNAME=root", "LANG=C.UTF-8", `TERM=${terminal}`],
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      ...["DEBIAN_FRONTEND=noninteractive", "bash", "-c", `cd /root; ${command}`],
    ];
  }

  /** Process 1 of the host, as this machine sees it. */
  #leader(): number | undefined {
    const pid = this.#nspawn?.pid;
    if (pid === undefined) return undefined;
    try {
      const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
      return child === undefined || child === "" ? undefined : Number(child);
    } catch {
      return undefined;
    }
  }

  async #untilUp(): Promise<void> {
    const until = performance.now() + BOOT_MINUTES * 60_000;
    for (;;) {
      const { stdout } = await this.run("systemctl is-system-running");
      if (/^(?:running|degraded)\b/.test(stdout)) return;
      if (performance.now() > until) throw new Error(`${this.name} is not up: ${stdout}`);
      await wait(500);
    }
  }

  #ip(...args: string[]): void {
    execFileSync("ip", ["-n", this.#namespace, ...args]);
  }
}

/** Names for both on both, and a login from the first to the second. */
export function introduce(one: Host, other: Host, addresses: readonly [string, string]): void {
  const names = `127.0.0.1 localhost\n${addresses[0]} ${one.name} ${one.name}.example.org\n${addresses[1]} ${other.name} ${other.name}.example.org\n`;
  for (const host of [one, other]) host.write("/etc/hosts", names);
  const key = join(one.folder, "root/.ssh/id_ed25519");
  mkdirSync(dirname(key), { recursive: true, mode: 0o700 });
  execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
  writeFileSync(join(one.folder, "root/.ssh/config"), "StrictHostKeyChecking accept-new\n");
  mkdirSync(join(other.folder, "root/.ssh"), { recursive: true, mode: 0o700 });
  appendFileSync(join(other.folder, "root/.ssh/authorized_keys"), readFileSync(`${key}.pub`), {
    mode: 0o600,
  });
}
