/**
 * How many sign-outs a second `synlift sign-out serve` answers, and whether its memory stays flat.
 *
 *     node scripts/node.mjs bench/sign-out.ts [SECONDS] [CONNECTIONS]
 *
 * 20 seconds and 50 connections when left out. The program runs as people run it, in a process of its own; the requests come from
 * this process on the same cores, over plain HTTP with connections that stay open, and each has an access token of its own. Before and
 * after it, for a quarter of the time each, a bare server of node:http is asked in the same way, which answers the same bytes without
 * looking at the request: on a machine that does other work too, only the ratio says something.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { availableParallelism, cpus, loadavg } from "node:os";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const SERVE = [
  ...[MAIN, "sign-out", "serve", "--hard", "--no-survey", "--yes", "--new", "https://new.example.org"],
  ...["--listen", "127.0.0.1:0", "--json"],
];
const BARE = `
const body = JSON.stringify({ errcode: "M_UNKNOWN_TOKEN", error: "This server has moved. Please sign in again.", soft_logout: false });
const cors = { "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS",
  "Access-Control-Allow-Headers": "X-Requested-With, Content-Type, Authorization, Date" };
const headers = { ...cors, "Content-Type": "application/json", "Content-Length": String(body.length) };
const server = require("node:http").createServer((request, response) => response.writeHead(401, headers).end(body));
server.listen(0, "127.0.0.1", () => console.error("listening on http://127.0.0.1:" + server.address().port));
process.on("SIGTERM", () => process.exit(0));`;

interface Run {
  readonly answered: number;
  readonly seconds: number;
  /** Processor time of the server, in seconds, its start left out. */
  readonly used: number;
  /** MiB, each second. */
  readonly memory: readonly number[];
  readonly exit: number | null;
}

async function run(args: readonly string[], seconds: number, connections: number): Promise<Run> {
  const child = spawn(process.execPath, [...args], { stdio: ["ignore", "ignore", "pipe"] });
  process.on("exit", () => child.kill("SIGKILL"));
  const port = await portOf(child);
  const before = processorSeconds(child.pid!);
  const memory: number[] = [];
  const begin = performance.now();
  const look = setInterval(() => memory.push(residentMiB(child.pid!)), 1000);
  const isOver = () => performance.now() - begin > seconds * 1000;
  const counts = await Promise.all(Array.from({ length: connections }, () => askOver(port, isOver)));
  clearInterval(look);
  const took = (performance.now() - begin) / 1000;
  const used = processorSeconds(child.pid!) - before;
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  child.kill("SIGTERM");
  const answered = counts.reduce((sum, count) => sum + count, 0);
  return { answered, seconds: took, used, memory, exit: await ended };
}

const portOf = (child: ChildProcess) =>
  new Promise<number>((resolve) => {
    let said = "";
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      const found = /listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(said)?.[1];
      if (found !== undefined) resolve(Number(found));
    });
  });

let tokens = 0;

/** One request after the other on one connection; every answer is as long as the first. Returns how many were answered. */
function askOver(port: number, isOver: () => boolean): Promise<number> {
  return new Promise((resolve, reject) => {
    let [count, got, length] = [0, "", 0];
    const ask = () =>
      socket.write(
        `GET /_matrix/client/v3/sync?timeout=30000 HTTP/1.1\r\nHost: old.example.org\r\nUser-Agent: bench/1\r\nAuthorization: Bearer syt_${++tokens}\r\n\r\n`,
      );
    const socket = connect(port, "127.0.0.1", ask).setNoDelay();
    socket.on("error", reject).setEncoding("latin1");
    socket.on("data", (piece: string) => {
      got += piece;
      if (length === 0) {
        const head = got.indexOf("\r\n\r\n");
        const body = /content-length: (\d+)/i.exec(got)?.[1];
        if (head < 0 || body === undefined) return;
        length = head + 4 + Number(body);
      }
      if (got.length < length) return;
      if (!got.startsWith("HTTP/1.1 401 ") || got.length > length) reject(new Error(got.slice(0, 200)));
      got = "";
      count++;
      if (!isOver()) ask();
      else {
        socket.destroy();
        resolve(count);
      }
    });
  });
}

async function bench(seconds: number, connections: number): Promise<void> {
  const before = await run(["-e", BARE], seconds / 4, connections);
  const serve = await run(SERVE, seconds, connections);
  const after = await run(["-e", BARE], seconds / 4, connections);
  const bare = (before.answered + after.answered) / (before.seconds + after.seconds);
  const rate = serve.answered / serve.seconds;
  const each = ({ used, answered }: Run) => `${Math.round((used / answered) * 1e6)} µs`;
  const load = loadavg()[0]!.toFixed(1);
  console.log(`${cpus()[0]?.model ?? "?"}, ${availableParallelism()} cores, load ${load}`);
  console.log(`${serve.answered} sign-outs in ${serve.seconds.toFixed(1)} s: ${Math.round(rate)} a second`);
  console.log(
    `a bare server: ${Math.round(bare)} a second; synlift answers ${Math.round((rate / bare) * 100)} % of that`,
  );
  console.log(
    `processor time for each: ${each(serve)}; of the bare server ${each(before)} and ${each(after)}`,
  );
  console.log(`memory of the process, MiB, each second: ${serve.memory.join(" ")}`);
  console.log(`ended with ${String(serve.exit)}`);
}

/** VmRSS of proc_pid_status(5). */
function residentMiB(pid: number): number {
  const found = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Math.round(Number(found) / 1024);
}

/** utime and stime of proc_pid_stat(5), of 100 ticks a second. */
function processorSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

const [seconds = 20, connections = 50] = process.argv.slice(2).map(Number);
await bench(seconds, connections);
