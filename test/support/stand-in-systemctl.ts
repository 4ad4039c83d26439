import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { temporaryFolder } from "./lab/temporary-folder.ts";
import { scriptsIn } from "./real-world.ts";

export interface StandInUnit {
  readonly name: string;
  /** What starts it and comes back. */
  readonly start: string;
  /** Where it writes its process id. */
  readonly pidFile: string;
  /** Its `ConditionPathExists=`: without that path nothing is started, and `systemctl start` exits with 0. */
  readonly condition?: string;
  /** Where its own file is; below /lib/systemd/system when left out. */
  readonly fragment?: string;
  /** What the server writes to its journal while it starts. */
  readonly says?: string;
}

/**
 * A systemctl for machines without systemd: what is enabled, masked and running is kept in files, and what it starts
 * and stops is real. It knows what synlift calls, and says no where the real one does. journalctl belongs to it.
 */
export class StandInSystemctl {
  /** For PATH: this one is found before any other. */
  readonly path: string;
  readonly #state: string;

  constructor(units: readonly StandInUnit[]) {
    this.#state = temporaryFolder("systemd");
    for (const { name, start, pidFile, condition, fragment, says } of units) {
      if (condition !== undefined) writeFileSync(join(this.#state, `${name}.condition`), condition);
      if (fragment !== undefined) writeFileSync(join(this.#state, `${name}.fragment`), fragment);
      if (says !== undefined) writeFileSync(join(this.#state, `${name}.says`), says);
      writeFileSync(join(this.#state, `${name}.start`), start);
      writeFileSync(join(this.#state, `${name}.pid-file`), pidFile);
      writeFileSync(join(this.#state, `${name}.enabled`), "");
    }
    const scripts = {
      systemctl: SCRIPT.replaceAll("STATE", this.#state),
      journalctl: JOURNAL_SCRIPT.replaceAll("STATE", this.#state),
    };
    this.path = `${scriptsIn(scripts)}${delimiter}${process.env["PATH"] ?? ""}`;
  }

  /** Throws with its words when it says no. */
  run(...args: readonly string[]): string {
    return execFileSync("systemctl", args, {
      env: { ...process.env, PATH: this.path },
      encoding: "utf8",
      stdio: "pipe",
    });
  }

  is(what: "enabled" | "masked", unit: string): boolean {
    return existsSync(join(this.#state, `${unit}.${what}`));
  }

  isActive(unit: string): boolean {
    return /^ActiveState=active$/m.test(this.run("show", "--property=ActiveState", unit));
  }

  /** Every call so far but those that only ask, a line each. */
  get calls(): readonly string[] {
    const path = join(this.#state, "calls");
    return existsSync(path) ? readFileSync(path, "utf8").trim().split("\n") : [];
  }
}

const SCRIPT = `
[ "$1" = --no-ask-password ] && shift
verb=$1; shift
[ "$verb" = show ] || echo "$verb $*" >> STATE/calls
running() { pid=$(cat "$(cat "STATE/$1.pid-file")" 2>/dev/null) && [ -n "$pid" ] && [ -r /proc/$pid/status ] && ! grep -q '^State:.*Z' /proc/$pid/status 2>/dev/null; }
if [ "$verb" = daemon-reload ]; then exit 0; fi
if [ "$verb" = show ]; then
  unit=$2; load=loaded; active=inactive; file=disabled
  [ -e "STATE/$unit.start" ] || { load=not-found; file=; }
  [ -e "STATE/$unit.enabled" ] && file=enabled
  [ -e "STATE/$unit.masked" ] && { load=masked; file=masked; }
  sub=dead; result=success
  [ -e "STATE/$unit.failed" ] && { active=failed; sub=failed; result=exit-code; }
  [ -e "STATE/$unit.start" ] && running "$unit" && { active=active; sub=running; }
  printf 'LoadState=%s\\nActiveState=%s\\nUnitFileState=%s\\nFragmentPath=%s\\n' $load $active "$file" "$(cat "STATE/$unit.fragment" 2>/dev/null || echo "/lib/systemd/system/$unit")"
  printf 'SubState=%s\\nResult=%s\\nConditionResult=%s\\nAssertResult=%s\\nJob=0\\n' $sub $result "$(cat "STATE/$unit.condition-result" 2>/dev/null || echo no)" "$(cat "STATE/$unit.condition-result" 2>/dev/null || echo no)"
  exit 0
fi
for unit; do
  case $unit in *.*) ;; *) unit=$unit.service;; esac
  [ -e "STATE/$unit.start" ] || { echo "Unit $unit could not be found." >&2; exit 5; }
  case $verb in
    enable) [ -e "STATE/$unit.masked" ] && { echo "Failed to enable unit: Unit file STATE/$unit is masked." >&2; exit 1; }; : > "STATE/$unit.enabled";;
    disable) rm -f "STATE/$unit.enabled";;
    mask) [ -e "STATE/refuses-mask" ] && { echo "Failed to mask unit: File exists" >&2; exit 1; }; : > "STATE/$unit.masked";;
    unmask) rm -f "STATE/$unit.masked";;
    start) [ -e "STATE/$unit.masked" ] && { echo "Failed to start $unit: Unit $unit is masked." >&2; exit 1; }
      rm -f "STATE/$unit.failed"
      if [ -e "STATE/$unit.condition" ] && ! [ -e "$(cat "STATE/$unit.condition")" ]; then
        echo no > "STATE/$unit.condition-result"
        echo "$unit was skipped because of an unmet condition check (ConditionPathExists=$(cat "STATE/$unit.condition"))." >> "STATE/$unit.journal"
        continue
      fi
      echo yes > "STATE/$unit.condition-result"
      cat "STATE/$unit.says" >> "STATE/$unit.journal" 2>/dev/null
      running "$unit" || sh -c "$(cat "STATE/$unit.start")" < /dev/null > /dev/null 2>&1 || { : > "STATE/$unit.failed"; echo "$unit: Main process exited, code=exited, status=1/FAILURE" >> "STATE/$unit.journal"; echo "Job for $unit failed because the control process exited with error code." >&2; exit 1; };;
    stop) running "$unit" && { kill "$pid"; while running "$unit"; do sleep 0.1; done; };;
    *) echo "Unknown command verb $verb." >&2; exit 1;;
  esac
done
exit 0`;

const JOURNAL_SCRIPT = `
while [ $# -gt 0 ]; do
  case $1 in
    -u) unit=$2; shift;;
    -n) lines=$2; shift;;
  esac
  shift
done
tail -n "$lines" "STATE/$unit.journal" 2>/dev/null || echo "-- No entries --"`;
