import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import type { ProxyName } from "../../../src/proxies/proxies.ts";
import { ServerProcess } from "./server-process.ts";
import { temporaryFolder } from "./temporary-folder.ts";

/** What stands around the file of a site: the least that each program needs to load it. */
interface Surroundings {
  /** The complete file, around that of the site. */
  readonly around: (site: string, folder: string) => string;
  readonly file: string;
  /** Loads the file and ends; the exit code says whether it is right. */
  readonly check: (path: string, folder: string) => readonly [string, ...string[]];
  readonly run: (path: string, folder: string) => readonly [string, ...string[]];
  /** Asks it to end, with requests in flight given up. */
  readonly signal: NodeJS.Signals;
}

const APACHE_MODULES = [
  "mpm_event",
  "authz_core",
  "rewrite",
  "headers",
  "setenvif",
  "proxy",
  "proxy_http",
  "socache_shmcb",
  "ssl",
  "http2",
];

/** Workers of nginx stay who the test is, who owns the folders. Apache refuses that to root, and reads only. */
const isRoot = process.getuid?.() === 0;

const SURROUNDINGS: Readonly<Record<ProxyName, Surroundings>> = {
  nginx: {
    file: "nginx.conf",
    around: (site, folder) => `${isRoot ? "user root;\n" : ""}daemon off;
pid ${folder}/nginx.pid;
error_log stderr;
worker_processes 1;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path ${folder}/body;
    proxy_temp_path ${folder}/proxy;
    fastcgi_temp_path ${folder}/fastcgi;
    uwsgi_temp_path ${folder}/uwsgi;
    scgi_temp_path ${folder}/scgi;
${site}}
`,
    check: (path, folder) => ["/usr/sbin/nginx", "-t", "-q", "-p", folder, "-c", path, "-e", "stderr"],
    run: (path, folder) => ["/usr/sbin/nginx", "-p", folder, "-c", path, "-e", "stderr"],
    signal: "SIGTERM",
  },
  caddy: {
    file: "Caddyfile",
    around: (site) => `{
	admin off
	auto_https disable_redirects
	grace_period 1s
}
${site}`,
    check: (path) => ["caddy", "validate", "--config", path, "--adapter", "caddyfile"],
    run: (path) => ["caddy", "run", "--config", path, "--adapter", "caddyfile"],
    signal: "SIGTERM",
  },
  apache: {
    file: "apache2.conf",
    around: (site, folder) => `ServerRoot ${folder}
PidFile ${folder}/apache.pid
ErrorLog ${folder}/error.log
Mutex pthread
ServerName localhost
${APACHE_MODULES.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join("\n")}
User nobody
Group nogroup
StartServers 1
ServerLimit 2
ThreadsPerChild 25
MaxRequestWorkers 50
${site}`,
    check: (path, folder) => ["/usr/sbin/apache2", "-t", "-d", folder, "-f", path],
    run: (path, folder) => ["/usr/sbin/apache2", "-d", folder, "-f", path, "-DFOREGROUND"],
    signal: "SIGTERM",
  },
  haproxy: {
    file: "haproxy.cfg",
    around: (site) => `global
    maxconn 500
    nbthread 1
    hard-stop-after 1s
defaults
    mode http
    timeout client 1m
    timeout server 1m
    timeout connect 5s
${site}`,
    check: (path) => ["/usr/sbin/haproxy", "-c", "-q", "-f", path],
    run: (path) => ["/usr/sbin/haproxy", "-db", "-f", path],
    signal: "SIGUSR1",
  },
};

/** A real proxy in the foreground, with one file, on loopback. */
export class ProxyServer implements AsyncDisposable {
  readonly #process: ServerProcess;
  readonly #signal: NodeJS.Signals;
  /** Shell command that has the program itself check its configuration. */
  readonly test: string;

  private constructor(process: ServerProcess, signal: NodeJS.Signals, test: string) {
    this.#process = process;
    this.#signal = signal;
    this.test = test;
  }

  /** Shell command that has it read its configuration again; not of every program. */
  get reload(): string {
    return `kill -HUP ${this.#process.pid}`;
  }

  /** Has the program itself check the file first, and rejects with what it says. Ready when `port` answers. */
  static async start(name: ProxyName, site: string, port: number): Promise<ProxyServer> {
    const { around, file, check, run, signal } = SURROUNDINGS[name];
    const folder = temporaryFolder(`proxy-${name}`);
    mkdirSync(join(folder, "data"));
    const path = join(folder, file);
    writeFileSync(path, around(site, folder));
    const environment = { HOME: folder, XDG_DATA_HOME: join(folder, "data"), XDG_CONFIG_HOME: folder };
    const [checker, ...checkArgs] = check(path, folder);
    try {
      execFileSync(checker, checkArgs, { stdio: "pipe", env: { ...process.env, ...environment } });
    } catch (error) {
      throw new Error(`${name} refuses the file:\n${String((error as { stderr?: Buffer }).stderr)}\n${site}`);
    }
    const [program, ...args] = run(path, folder);
    const server = new ServerProcess({ program, args, folder, environment });
    await server.untilReady(() => answers(port), 180);
    return new ProxyServer(server, signal, [checker, ...checkArgs].join(" "));
  }

  /** The last of what it printed. */
  get output(): string {
    return this.#process.output;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.stop(this.#signal === "SIGUSR1" ? "SIGTERM" : this.#signal, 20);
  }
}

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const asked = request({ host: "127.0.0.1", port, path: "/", agent: false }, (response) => {
      response.resume();
      resolve(true);
    });
    asked.on("error", (error: NodeJS.ErrnoException) => {
      // A TLS port breaks off what is not TLS: it listens.
      resolve(error.code !== "ECONNREFUSED");
    });
    asked.end();
  });
