import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { quoteShellWord } from "../../src/system/shell-quoting.ts";
import { freePort } from "./lab/server-process.ts";
import { type SshServer, startSshServer } from "./lab/ssh-server.ts";
import { synapsePython } from "./lab/synapse-server.ts";
import { temporaryFolder } from "./lab/temporary-folder.ts";
import type { SqliteServer } from "./ported.ts";
import { StandInSystemctl } from "./stand-in-systemctl.ts";

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
const UNIT = "matrix-synapse.service";

/** A host of its own for `pull`: a homeserver that runs there under systemd (a stand-in), and the way to it. */
export class ServedCopy {
  /** Where it lies. */
  readonly home: string;
  readonly #systemctl: StandInSystemctl;
  readonly #ssh: SshServer;
  readonly #sender: string;

  private constructor(home: string, systemctl: StandInSystemctl, ssh: SshServer, sender: string) {
    this.home = home;
    this.#systemctl = systemctl;
    this.#ssh = ssh;
    this.#sender = sender;
  }

  /** A copy of the stopped server in another folder and on another port, running. */
  static async start({ home, config }: SqliteServer): Promise<ServedCopy> {
    const folder = temporaryFolder("served");
    cpSync(home.folder, folder, { recursive: true });
    const there = (path: string) => path.replace(home.folder, folder);
    const [file, more] = [there(home.configFile), there(join(home.configFile, "../conf.d/database.yaml"))];
    const port = String(await freePort());
    for (const path of [file, more, there(join(home.configFile, "../log.yaml"))])
      writeFileSync(
        path,
        readFileSync(path, "utf8")
          .replaceAll(home.folder, folder)
          .replace(/^( +- port: )\d+$/m, `$1${port}`),
      );
    const data = there(home.dataFolder);
    const systemctl = new StandInSystemctl([
      {
        name: UNIT,
        start: `cd ${data} && exec ${synapsePython()} -m synapse.app.homeserver -c ${file} -c ${more} -D`,
        pidFile: join(data, "homeserver.pid"),
      },
    ]);
    systemctl.run("start", UNIT);
    const words = [process.execPath, MAIN, "pull-sender", ...config.map(there), "--unit", UNIT];
    const ssh = await startSshServer({ env: { PATH: systemctl.path, NODE_TEST_CONTEXT: "" } });
    return new ServedCopy(folder, systemctl, ssh, words.map(quoteShellWord).join(" "));
  }

  get isActive(): boolean {
    return this.#systemctl.isActive(UNIT);
  }

  /** What `pull` is given to fetch it. */
  get pullArgs(): readonly string[] {
    return [
      ...["pull", this.#ssh.address, "--ssh-config", this.#ssh.configFile],
      ...["--export-folder", join(this.home, "synlift"), "--export-command", this.#sender],
    ];
  }

  async stop(): Promise<void> {
    this.#systemctl.run("unmask", UNIT);
    this.#systemctl.run("stop", UNIT);
    await this.#ssh.stop();
  }
}
