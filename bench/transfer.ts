/**
 * How fast the parts of a bundle travel over loopback, compared with the programs that do nothing else, and how much memory synlift takes.
 *
 *     node scripts/node.mjs bench/transfer.ts [PARTS] [MIB] [ROUNDS]
 *
 * 16 parts of 64 MiB and 3 rounds when left out. `sftp` and `rclone` send the same files in turn, one after the other, without comparing
 * anything afterwards. Two figures of synlift: all of the run, and the transfer alone, without the start of the program. It compares size and SHA-256
 * of every file over there, syncs it, and writes receipts. A ratio above 1
 * means that synlift is faster. Sender, receiver and network are this host, so encryption and hashes share its cores. The others sync
 * nothing: below a TMPDIR on a disk, its speed is in our figures alone. The program is compiled, as it is published.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";
import { join } from "node:path";
import { quoteShellWord } from "../src/system/shell-quoting.ts";
import { startSshServer } from "../test/support/lab/ssh-server.ts";
import { temporaryFolder } from "../test/support/lab/temporary-folder.ts";
import { lockWith } from "../test/support/real-world.ts";
import { startReceiver } from "../test/support/receiver.ts";
import { makeSmallBundle } from "../test/support/small-bundle.ts";
import { compiledProgram } from "./compiled.ts";
import { timed } from "./processes.ts";

const MIB = 1024 * 1024;

async function bench(parts: number, mebibytes: number, rounds: number): Promise<void> {
  process.on("SIGINT", () => process.exit(130));
  const main = compiledProgram();
  const bundle = temporaryFolder("bundle");
  const partSize = mebibytes * MIB;
  await makeSmallBundle({ folder: bundle, lock: lockWith(), partSize, mediaSize: parts * partSize });
  const files = readdirSync(bundle).filter((name) => /\.part-|\.gpg$/.test(name));
  const ssh = await startSshServer();
  const receiver = await startReceiver();
  const rclone = join(temporaryFolder("rclone"), "rclone.conf");
  writeFileSync(
    rclone,
    `[there]\ntype = sftp\nhost = 127.0.0.1\nport = ${ssh.port}\nuser = ${process.env["USER"] ?? "root"}\nkey_file = ${join(ssh.folder, "client")}\n`,
  );
  const node = quoteShellWord(process.execPath);
  let count = 0;
  const place = () => {
    const folder = join(temporaryFolder("there"), `${(count += 1)}`);
    mkdirSync(folder);
    return folder;
  };
  const send = (to: string, more: string) =>
    `${node} ${main} send ${bundle} ${to} --json --check ${more} > /dev/null`;
  const ways: Record<string, () => Promise<string>> = {
    sftp: () => {
      const batch = join(temporaryFolder("batch"), "batch");
      const folder = place();
      writeFileSync(batch, files.map((name) => `put ${join(bundle, name)} ${folder}/`).join("\n"));
      return Promise.resolve(`sftp -q -P ${ssh.port} -F ${ssh.configFile} -b ${batch} 127.0.0.1 > /dev/null`);
    },
    "synlift sftp": () =>
      Promise.resolve(send(`sftp://127.0.0.1:${ssh.port}${place()}`, `--ssh-config ${ssh.configFile}`)),
    rclone: () =>
      Promise.resolve(
        `rclone --config ${rclone} copy --include ${quoteShellWord("{*.part-*,*.gpg}")} ${bundle} there:${place()}`,
      ),
    "synlift rclone": () => Promise.resolve(send(`rclone:there:${place()}`, `--rclone-config ${rclone}`)),
    "synlift https": async () => {
      const { file } = await receiver.invite(`bench-${(count += 1)}`);
      return send(receiver.origin, `--invitation ${file}`);
    },
  };
  console.log(
    `${files.length} files, ${parts * mebibytes} MiB; ${cpus()[0]?.model ?? "?"}, ${availableParallelism()} cores, Node ${process.version}, load ${loadavg()[0]!.toFixed(1)}`,
  );
  const seconds: Record<string, number[]> = {};
  const alone: Record<string, number[]> = {};
  const processor: Record<string, number[]> = {};
  const memory: Record<string, number> = {};
  try {
    for (let round = 0; round < rounds; round += 1) {
      const names = Object.keys(ways);
      // Each goes first once, because the first one finds the caches and the disk in another state.
      for (const name of [...names.slice(round % names.length), ...names.slice(0, round % names.length)]) {
        execFileSync("sync");
        const tell = (line: string) => {
          const said = line.startsWith("{") ? (JSON.parse(line) as Said) : undefined;
          if (said === undefined || said.type === "error") console.error(line);
          if (said?.type === "end" && said.id === "send") (alone[name] ??= []).push(said.seconds ?? NaN);
        };
        const before = busySeconds();
        const ran = await timed(await ways[name]!(), { env: process.env, tell });
        (seconds[name] ??= []).push(ran.seconds);
        (processor[name] ??= []).push(busySeconds() - before);
        memory[name] = Math.max(memory[name] ?? 0, ran.peak);
      }
      console.log(`round ${round + 1}: load ${loadavg()[0]!.toFixed(1)}`);
    }
    const rate = (name: string, of = seconds) => (parts * mebibytes) / median(of[name]!);
    for (const name of Object.keys(ways)) {
      console.log(
        `${name.padEnd(15)} ${rate(name).toFixed(0).padStart(5)} MiB/s, ${median(processor[name]!).toFixed(1)} s of all processors`,
      );
      if (!name.startsWith("synlift")) continue;
      for (const [of, which] of [
        [seconds, "all of the run"],
        [alone, "the transfer"],
      ] as const) {
        const ratios = ["sftp", "rclone"].map(
          (other) => `${(rate(name, of) / rate(other)).toFixed(2)} of ${other}`,
        );
        console.log(`  ${which}: ${rate(name, of).toFixed(0)} MiB/s, ${ratios.join(", ")}`);
      }
      console.log(`  memory: ${memory[name]!.toFixed(0)} MiB`);
    }
  } finally {
    await receiver.stop();
    await ssh.stop();
    rmSync(bundle, { recursive: true });
  }
}

/** Seconds in which a processor of this machine was busy, since it was started: sender and receiver are both here (proc(5), /proc/stat). */
function busySeconds(): number {
  const [user, nice, system, , , irq, softirq] = readFileSync("/proc/stat", "utf8")
    .split("\n", 1)[0]!
    .split(/ +/)
    .slice(1)
    .map(Number);
  return (user! + nice! + system! + irq! + softirq!) / 100;
}

interface Said {
  readonly type: string;
  readonly id?: string;
  readonly seconds?: number;
}

const median = (all: readonly number[]) => all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)]!;

const [parts = 16, mebibytes = 64, rounds = 3] = process.argv.slice(2).map(Number);
await bench(parts, mebibytes, rounds);
