import type { Destination, Remote } from "./remote.ts";

/** A destination whose connections are used again. It must be closed. */
export interface KeptDestination extends Destination {
  /** Ends the connections that are not in use, and from then on each when it is closed. */
  close(): Promise<void>;
}

/**
 * Keeps a remote that was closed after nothing but successful calls, and gives it to whoever opens the next one: to connect
 * may take longer than a small file does.
 */
export function keepConnections({ address, open }: Destination): KeptDestination {
  const idle: Remote[] = [];
  let ended = false;
  const giveBack = async (remote: Remote) => {
    if (ended) await remote.close();
    else idle.push(remote);
  };
  return {
    address,
    open: async (signal, options) => lend(idle.pop() ?? (await open(signal, options)), giveBack),
    async close() {
      ended = true;
      for (let remote = idle.pop(); remote !== undefined; remote = idle.pop()) await remote.close();
    },
  };
}

function lend(remote: Remote, giveBack: (remote: Remote) => Promise<void>): Remote {
  let running = 0;
  let state: "lent" | "hurt" | "given back" = "lent";
  const watched = async <T>(act: () => Promise<T>): Promise<T> => {
    running += 1;
    try {
      return await act();
    } catch (error) {
      if (state === "lent") state = "hurt";
      throw error;
    } finally {
      running -= 1;
    }
  };
  return {
    have: (signal) => watched(() => remote.have(signal)),
    put: (file, attempt) => watched(() => remote.put(file, attempt)),
    prove: (file, attempt) => watched(() => remote.prove(file, attempt)),
    get: (file, folder, attempt) => watched(() => remote.get(file, folder, attempt)),
    read: (name, limit, signal) => watched(() => remote.read(name, limit, signal)),
    remove: (name, signal) => watched(() => remote.remove(name, signal)),
    async close() {
      if (state === "given back") return;
      const whole = state === "lent" && running === 0;
      state = "given back";
      await (whole ? giveBack(remote) : remote.close());
    },
  };
}
