/**
 * How many sign-outs a second `synlift sign-out serve` answers, and whether its memory stays flat.
 *
 *     node scripts/node.mjs bench/sign-out.ts [SECONDS] [CONNECTIONS]
 *
 * 20 seconds and 50 connections when left out. The program runs as people run it, in a process of its own; the requests come from
 * this process on the same cores, over plain HTTP with connections that stay open, and each has an access token of its own.
 */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { availableParallelism, cpus, loadavg } from "node:os";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const ARGS = ["sign-out", "serve", "--hard", "--no-survey", "--yes", "--new", "https://new.example.org"];

async function bench(seconds: number, connections: number): Promise<void> {
  const child = spawn(process.execPath, [MAIN, ...ARGS, "--listen", "127.0.0.1:0", "--json"], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  process.on("exit", () => child.kill("SIGKILL"));
  const port = await new Promise<number>((resolve) => {
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      const found = /listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(said)?.[1];
      if (found !== undefined) resolve(Number(found));
    });
  });
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  let sent = 0;
  const ask = () =>
    new Promise<void>((resolve, reject) => {
      const headers = { Authorization: `Bearer syt_${++sent}`, "User-Agent": "bench/1" };
      request(
        { host: "127.0.0.1", port, agent, path: "/_matrix/client/v3/sync?timeout=30000", headers },
        (answer) => {
          if (answer.statusCode !== 401) reject(new Error(`${answer.statusCode ?? 0}`));
          answer.resume().on("end", resolve);
        },
      )
        .on("error", reject)
        .end();
    });
  const memory: number[] = [];
  const begin = performance.now();
  const isOver = () => performance.now() - begin > seconds * 1000;
  const look = setInterval(() => memory.push(residentMiB(child.pid!)), 1000);
  let answered = 0;
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (!isOver()) {
        await ask();
        answered++;
      }
    }),
  );
  clearInterval(look);
  const used = processorSeconds(child.pid!);
  const took = (performance.now() - begin) / 1000;
  agent.destroy();
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  child.kill("SIGTERM");
  console.log(
    `${cpus()[0]?.model ?? "?"}, ${availableParallelism()} cores, load ${loadavg()[0]!.toFixed(1)}`,
  );
  console.log(`${answered} sign-outs in ${took.toFixed(1)} s: ${Math.round(answered / took)} a second`);
  console.log(
    `processor time of the program: ${used.toFixed(1)} s, ${Math.round((used / answered) * 1e6)} µs each`,
  );
  console.log(`memory of the process, MiB, each second: ${memory.join(" ")}`);
  console.log(`ended with ${String(await ended)}`);
}

/** VmRSS of proc_pid_status(5). */
function residentMiB(pid: number): number {
  const found = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Math.round(Number(found) / 1024);
}

/** utime and stime of proc_pid_stat(5), of 100 ticks a second; the start of the program included. */
function processorSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

const [seconds = 20, connections = 50] = process.argv.slice(2).map(Number);
await bench(seconds, connections);
