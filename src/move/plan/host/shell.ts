import type { Finding } from "../../../report/finding.ts";
import type { Machine } from "../../../system/machine.ts";
import type { Programs } from "../../../system/programs/programs.ts";

/** Names of programs whose sessions survive a lost connection. */
const MULTIPLEXERS = /^(?:tmux|screen|SCREEN|zellij|abduco|dtach|byobu|mosh-server)/;
const CONNECTIONS = /^(?:sshd|dropbear)/;

/** Whether a command started here survives a lost SSH connection, and what to run if not. */
export async function shellFindings({
  machine,
  programs,
}: {
  machine: Machine;
  programs: Programs;
}): Promise<Finding[]> {
  const id = "shell";
  // The nearest decides: tmux over SSH survives, SSH out of a tmux elsewhere does not.
  const holder = machine.ancestors().find((name) => MULTIPLEXERS.test(name) || CONNECTIONS.test(name));
  if (holder === undefined)
    return [{ id, level: "ok", sentence: "this shell does not depend on an SSH connection" }];
  if (MULTIPLEXERS.test(holder))
    return [
      {
        id,
        level: "ok",
        sentence: `this shell survives a lost connection: it runs in ${holder.split(":")[0]!}`,
      },
    ];
  return [
    {
      id,
      level: "note",
      sentence: "this shell ends when its SSH connection is lost, and so does an export",
      hint: await multiplexerHint(programs),
    },
  ];
}

async function multiplexerHint(programs: Programs): Promise<string> {
  if ((await programs.find("tmux")) !== undefined)
    return "for the move, type first: tmux new -s move   (and after a lost connection: tmux attach -t move)";
  if ((await programs.find("screen")) !== undefined)
    return "for the move, type first: screen -S move   (and after a lost connection: screen -r move)";
  if ((await programs.find("systemd-run")) !== undefined)
    return "install tmux for the move (apt-get install tmux), or start it with: systemd-run --unit=synlift-move --collect …   (and watch it with: journalctl -fu synlift-move)";
  return "install tmux for the move: apt-get install tmux; an interrupted export continues when it is run again";
}
