import { MigrationError } from "../../../errors.ts";
import type { OldHostMessages } from "../protocol.ts";
import type { FollowedPull } from "./order.ts";

type Sections = Awaited<ReturnType<FollowedPull["cut"]>>;

/** A cut-over that runs while the old host still sends the newest media. */
export class Cutting {
  readonly #followed: FollowedPull | undefined;
  #running: Promise<Sections> | undefined;

  constructor(followed: FollowedPull | undefined) {
    this.#followed = followed;
  }

  /** Begins it. Throws `connection-failed` where nothing follows. */
  begin({ roles }: OldHostMessages["fenced"]): void {
    if (!this.#followed || this.#running) throw unexpected();
    this.#running = this.#followed.cut(roles);
    // It is awaited later, and until then its failure is nobody's.
    this.#running.catch(() => undefined);
  }

  /** Resolves when nothing runs any more, however it ended. */
  async settled(): Promise<void> {
    await Promise.allSettled([this.#running]);
  }

  /** Throws what the cut-over throws. */
  async sections(): Promise<Sections> {
    if (!this.#running) throw unexpected();
    return this.#running;
  }
}

const unexpected = () =>
  new MigrationError("connection-failed", 'the old host sent "fenced" at the wrong time, or not at all', {
    hint: "use the same version of synlift on both hosts, and run the same command again",
  });
