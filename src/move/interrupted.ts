import { Interrupted, MigrationError } from "../errors.ts";

/** What a run that was asked to stop leaves behind: the state of the server, and what to do now. */
export interface Left {
  readonly state: string;
  readonly hint: string;
}

export const AGAIN = "run the same command again to continue";

/** Runs part of a move. Asked to stop, it says what state the server is in: whoever presses Ctrl-C may have users waiting. */
export async function sayingWhatIsLeft<Result>(
  run: () => Promise<Result>,
  look: () => Promise<Left> | Left,
): Promise<Result> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
    throw new Interrupted(error.signal, await look());
  }
}

/** A record that cannot be read now is no reason to say nothing. */
export async function readable<Found>(read: () => Promise<Found>): Promise<Found | "unreadable"> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof MigrationError) return "unreadable";
    throw error;
  }
}
