import { MigrationError } from "../../errors.ts";
import { CUSTOMER_NAME } from "../../transfer/invitation.ts";
import { Inbox, type InboxHost } from "./inbox.ts";
import { readInvited } from "./invitations.ts";
import { layoutOf } from "./layout.ts";

type Options = Parameters<typeof Inbox.open>[3];

/** The inboxes of all customers, each opened once. */
export class Inboxes {
  readonly #root: string;
  readonly #host: InboxHost;
  readonly #options: Options;
  readonly #open = new Map<string, Promise<Inbox>>();

  constructor(root: string, host: InboxHost, options: Options) {
    this.#root = root;
    this.#host = host;
    this.#options = options;
  }

  of(customer: string): Promise<Inbox> {
    const open = this.#open.get(customer) ?? Inbox.open(customer, this.#root, this.#host, this.#options);
    this.#open.set(customer, open);
    // A folder that cannot be read now may be readable at the next request.
    open.catch(() => this.#open.delete(customer));
    return open;
  }

  /** Those of all invitations: unfinished comparisons and hooks of an earlier process are continued. */
  async openAll(): Promise<void> {
    for (const customer of await this.#customers("invitations")) await this.of(customer);
  }

  /** Removes unfinished uploads of invitations that have ended. Returns how many. */
  async expire(): Promise<number> {
    const { files, machine } = this.#host;
    let removed = 0;
    for (const customer of await this.#customers("uploads")) {
      const invited = await readInvited(this.#root, customer, files).catch((error: unknown) => {
        if (error instanceof MigrationError) return undefined;
        throw error;
      });
      if (invited && Date.parse(invited.expires) > machine.now()) continue;
      removed += await (await this.of(customer)).expire();
    }
    return removed;
  }

  /** Resolves when nothing is compared any more. */
  async idle(): Promise<void> {
    for (const one of await Promise.allSettled(this.#open.values()))
      if (one.status === "fulfilled") await one.value.idle();
  }

  async #customers(kind: "invitations" | "uploads"): Promise<string[]> {
    const layout = layoutOf(this.#root);
    const folder = kind === "invitations" ? layout.invitations : layout.uploads("");
    const { files } = this.#host;
    if (!(await files.lstat(folder))) return [];
    return (await files.list(folder))
      .map((name) => name.replace(/\.json$/, ""))
      .filter((name) => CUSTOMER_NAME.test(name));
  }
}
