import { type Entry, entry } from "./command.ts";
import { cleanupCommand } from "./cleanup.ts";
import { delegationCheckCommand } from "./delegation-check.ts";
import { delegationFilesCommand } from "./delegation-files.ts";
import { delegationShowCommand } from "./delegation-show.ts";
import { exportCommand } from "./export.ts";
import { fetchCommand } from "./fetch.ts";
import { followCommand } from "./follow.ts";
import { followStatusCommand } from "./follow-status.ts";
import { followStopCommand } from "./follow-stop.ts";
import { followSourceCommand } from "./follow-source.ts";
import { forwardCommand } from "./forward.ts";
import { inviteCommand } from "./invite.ts";
import { maintenanceServeCommand } from "./maintenance-serve.ts";
import { maintenanceCommand } from "./maintenance.ts";
import { mediaCheckCommand } from "./media-check.ts";
import { mediaExportCommand } from "./media-export.ts";
import { openCommand } from "./open.ts";
import { planCommand } from "./plan.ts";
import { portCommand } from "./port.ts";
import { pullSenderCommand } from "./pull-sender.ts";
import { pullCommand } from "./pull.ts";
import { receiveCommand } from "./receive.ts";
import { reportCommand } from "./report.ts";
import { restoreCommand } from "./restore.ts";
import { rollbackCommand } from "./rollback.ts";
import { sendCommand } from "./send.ts";
import { signOutConfigCommand } from "./sign-out-config.ts";
import { signOutExpireCommand } from "./sign-out-expire.ts";
import { signOutServeCommand } from "./sign-out-serve.ts";
import { signOutTestCommand } from "./sign-out-test.ts";
import { standingCommand } from "./standing.ts";
import { statusCommand } from "./status.ts";
import { usersCommand } from "./users.ts";
import { verifyCommand } from "./verify.ts";

/** All commands, in the order of a move. */
export const COMMANDS: readonly Entry[] = [
  entry(standingCommand),
  entry(planCommand),
  entry(usersCommand),
  entry(portCommand),
  entry(exportCommand),
  entry(statusCommand),
  entry(sendCommand),
  entry(fetchCommand),
  entry(inviteCommand),
  entry(receiveCommand),
  entry(verifyCommand),
  entry(restoreCommand),
  entry(followCommand),
  entry(followStatusCommand),
  entry(followStopCommand),
  entry(pullCommand),
  entry(pullSenderCommand),
  entry(followSourceCommand),
  entry(openCommand),
  entry(rollbackCommand),
  entry(cleanupCommand),
  entry(delegationShowCommand),
  entry(delegationFilesCommand),
  entry(delegationCheckCommand),
  entry(maintenanceCommand),
  entry(maintenanceServeCommand),
  entry(forwardCommand),
  entry(signOutConfigCommand),
  entry(signOutServeCommand),
  entry(signOutTestCommand),
  entry(signOutExpireCommand),
  entry(reportCommand),
  entry(mediaCheckCommand),
  entry(mediaExportCommand),
];
