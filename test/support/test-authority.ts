import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { isIP } from "node:net";
import { join } from "node:path";
import { temporaryFolder } from "./lab/temporary-folder.ts";

export interface KeyAndCertificate {
  readonly key: string;
  readonly cert: string;
}

/** A certificate authority that nobody knows, and what it signs. */
export class TestAuthority {
  readonly pem: string;
  readonly #folder = temporaryFolder("authority");
  #count = 0;

  constructor() {
    this.#openssl(["req", "-x509", ...NEW_KEY, "ca.key", "-out", "ca.pem", "-days", "30", ...SUBJECT]);
    this.pem = readFileSync(join(this.#folder, "ca.pem"), "utf8");
  }

  /** For host names and IP addresses; -1 day makes one that has expired. */
  sign(names: readonly string[], days = 90): KeyAndCertificate {
    const name = `${++this.#count}`;
    const list = names.map((each) => `${isIP(each) ? "IP" : "DNS"}:${each}`).join(",");
    writeFileSync(join(this.#folder, `${name}.ext`), names.length > 0 ? `subjectAltName=${list}\n` : "");
    this.#openssl([
      "req",
      ...NEW_KEY,
      `${name}.key`,
      "-out",
      `${name}.csr`,
      "-subj",
      `/CN=${names[0] ?? "x"}`,
    ]);
    const signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-extfile", `${name}.ext`, "-out", `${name}.pem`];
    this.#openssl(["x509", "-req", "-in", `${name}.csr`, "-days", `${days}`, ...signed]);
    const read = (suffix: string) => readFileSync(join(this.#folder, `${name}.${suffix}`), "utf8");
    return { key: read("key"), cert: read("pem") };
  }

  #openssl(args: readonly string[]): void {
    execFileSync("openssl", args, { cwd: this.#folder, stdio: "pipe" });
  }
}

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout"];
const SUBJECT = ["-subj", "/O=Nobody/CN=Test Authority"];
