import { execFileSync } from "node:child_process";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "./lab/temporary-folder.ts";

/** Somebody's gpg home with secret keys, made by the real program. Its agent ends with `close`. */
export class KeyHome {
  readonly folder = temporaryFolder("keys");

  constructor() {
    // gpg warns of a home that others can read.
    chmodSync(this.folder, 0o700);
  }

  /** Makes a key and answers its fingerprint. `usage` and `expires` are as gpg's --quick-generate-key takes them. */
  make(name: string, { algorithm = "future-default", usage = "default", ...how }: HowToMake = {}): string {
    const { expires = "never", passphrase = "", at } = how;
    const clock = at === undefined ? [] : ["--faked-system-time", at];
    const user = `${name} <${name}@example.org>`;
    this.#run([...clock, ...loopback(passphrase), "--quick-generate-key", user, algorithm, usage, expires]);
    return this.fingerprint(name);
  }

  /** Adds a subkey. */
  add(fingerprint: string, algorithm: string, usage: string, expires: string, at?: string): void {
    const clock = at === undefined ? [] : ["--faked-system-time", at];
    this.#run([...clock, ...loopback(""), "--quick-add-key", fingerprint, algorithm, usage, expires]);
  }

  /** Takes what is in a file, secret keys as well. */
  take(path: string): void {
    this.#run(["--import", path]);
  }

  fingerprint(name: string): string {
    const listing = this.#run(["--with-colons", "--list-keys", `=${name} <${name}@example.org>`]);
    return /^fpr:+([0-9A-F]{40}):/m.exec(listing.toString())![1]!;
  }

  /** A file with what gpg exports of these keys. */
  publicKey(...names: string[]): string {
    return this.#file(
      "pub",
      this.#run(["--armor", "--export", ...names.map((name) => this.fingerprint(name))]),
    );
  }

  binaryKey(name: string): string {
    return this.#file("bin", this.#run(["--export", this.fingerprint(name)]));
  }

  secretKey(name: string): string {
    const args = [...loopback(""), "--armor", "--export-secret-keys", this.fingerprint(name)];
    return this.#file("sec", this.#run(args));
  }

  /** With the certificate that gpg made along with the key; its colon keeps people from using it by accident. */
  revoke(fingerprint: string): void {
    const path = join(this.folder, "openpgp-revocs.d", `${fingerprint}.rev`);
    const certificate = readFileSync(path, "utf8").replace(/^:-----BEGIN/m, "-----BEGIN");
    this.#run(["--import", this.#file("rev", Buffer.from(certificate))]);
  }

  disable(fingerprint: string): void {
    const args = ["--homedir", this.folder, "--no-tty", "--command-fd", "0", "--edit-key", fingerprint];
    execFileSync("gpg", args, { input: "disable\nsave\n", stdio: ["pipe", "ignore", "ignore"] });
  }

  close(): void {
    execFileSync("gpgconf", ["--homedir", this.folder, "--kill", "all"]);
  }

  #run(args: readonly string[]): Buffer {
    return execFileSync("gpg", ["--homedir", this.folder, "--batch", "--no-tty", "--quiet", ...args], {
      stdio: ["ignore", "pipe", "ignore"],
      timeout: 180_000,
    });
  }

  #file(kind: string, content: Uint8Array): string {
    const path = join(temporaryFolder("key"), `${kind}.asc`);
    writeFileSync(path, content, { mode: 0o600 });
    return path;
  }
}

interface HowToMake {
  readonly algorithm?: string;
  readonly usage?: string;
  readonly expires?: string;
  readonly passphrase?: string;
  /** When, as gpg is to believe: "20200101T000000". */
  readonly at?: string;
}

const loopback = (passphrase: string) => ["--pinentry-mode", "loopback", "--passphrase", passphrase];
