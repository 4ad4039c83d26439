import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { temporaryFolder } from "./lab/temporary-folder.ts";
import { scriptsIn } from "./real-world.ts";

export interface StandInContainer {
  readonly name: string;
  /** What starts it and comes back. */
  readonly start: string;
  /** Where it writes its process id. */
  readonly pidFile: string;
  /** "no", "always", "unless-stopped", "on-failure". */
  readonly policy: string;
  /** What runs in it, as `docker inspect` says it. */
  readonly command: readonly string[];
  /** Where it lies on the host and in the container. */
  readonly mounts: readonly { readonly outside: string; readonly inside: string }[];
}

/**
 * A docker for machines without one: a container is a process on this host, its restart policy is kept in a file. It
 * knows what synlift calls, and says no to what is not there, as the real one does.
 */
export class StandInDocker {
  /** For PATH: this one is found before any other. */
  readonly path: string;
  readonly #state: string;

  constructor(containers: readonly StandInContainer[]) {
    this.#state = temporaryFolder("docker");
    for (const [index, { name, start, pidFile, policy, command, mounts }] of containers.entries()) {
      const id = String(index + 1).repeat(64);
      const [first, ...args] = command;
      const said = {
        ...{ Id: id, Name: `/${name}`, Path: first, Args: args },
        State: { Running: "RUNNING", Pid: "PID" },
        Config: { Image: "matrixdotorg/synapse:v1.163.2", Env: [], WorkingDir: "", User: "" },
        HostConfig: { RestartPolicy: { Name: "POLICY", MaximumRetryCount: 0 } },
        Mounts: mounts.map(({ outside, inside }) => ({ Source: outside, Destination: inside })),
      };
      writeFileSync(join(this.#state, `${name}.said`), JSON.stringify(said));
      writeFileSync(join(this.#state, `${name}.id`), id);
      writeFileSync(join(this.#state, `${id}.name`), name);
      writeFileSync(join(this.#state, `${name}.start`), start);
      writeFileSync(join(this.#state, `${name}.pid-file`), pidFile);
      writeFileSync(join(this.#state, `${name}.policy`), policy);
    }
    this.path = `${scriptsIn({ docker: SCRIPT.replaceAll("STATE", this.#state) })}${delimiter}${process.env["PATH"] ?? ""}`;
  }

  /** Throws with its words when it says no. */
  run(...args: readonly string[]): string {
    return execFileSync("docker", args, {
      env: { ...process.env, PATH: this.path },
      encoding: "utf8",
      stdio: "pipe",
    });
  }

  isRunning(name: string): boolean {
    return this.run("inspect", "--type", "container", name).includes('"Running":true');
  }

  policy(name: string): string {
    return readFileSync(join(this.#state, `${name}.policy`), "utf8").trim();
  }

  /** Every call so far but those that only ask, a line each. */
  get calls(): readonly string[] {
    const path = join(this.#state, "calls");
    return existsSync(path) ? readFileSync(path, "utf8").trim().split("\n") : [];
  }
}

const SCRIPT = `
verb=$1; shift
case $verb in ps|inspect) ;; *) echo "$verb $*" >> STATE/calls;; esac
running() { pid=$(cat "$(cat "STATE/$1.pid-file")" 2>/dev/null) && [ -n "$pid" ] && [ -r /proc/$pid/status ] && ! grep -q '^State:.*Z' /proc/$pid/status 2>/dev/null; }
if [ "$verb" = ps ]; then cat STATE/*.id; echo; exit 0; fi
names=
while [ $# -gt 0 ]; do
  case $1 in
    --type|--time) shift;;
    --restart=*) policy=\${1#--restart=};;
    --*) echo "unknown flag: $1" >&2; exit 125;;
    *) name=$1; [ -e "STATE/$1.name" ] && name=$(cat "STATE/$1.name")
      [ -e "STATE/$name.said" ] || { echo "Error response from daemon: No such container: $1" >&2; exit 1; }
      names="$names $name";;
  esac
  shift
done
comma=
[ "$verb" = inspect ] && printf '['
for name in $names; do
  case $verb in
    inspect) up=false; at=0; running "$name" && { up=true; at=$pid; }
      printf '%s' "$comma"; comma=,
      sed -e "s/\\"RUNNING\\"/$up/; s/\\"PID\\"/$at/; s/\\"POLICY\\"/\\"$(cat "STATE/$name.policy")\\"/" "STATE/$name.said";;
    update) printf '%s' "$policy" > "STATE/$name.policy"; echo "$name";;
    start) running "$name" || sh -c "$(cat "STATE/$name.start")" < /dev/null > /dev/null 2>&1 || exit 1; echo "$name";;
    stop) running "$name" && { kill "$pid"; while running "$name"; do sleep 0.1; done; }; echo "$name";;
    *) echo "docker: '$verb' is not a docker command." >&2; exit 1;;
  esac
done
[ "$verb" = inspect ] && printf ']'
exit 0`;
