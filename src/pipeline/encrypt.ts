import type { Gpg } from "../system/programs.ts";
import type { Stage } from "./stage.ts";

/** What opens a bundle. */
export interface Lock {
  readonly gpg: Gpg;
  readonly passphrase: string;
}

/** Makes one OpenPGP message (AES-256) that only who has the passphrase can read. gpg's own compression is off: what it gets is compressed. */
export function encryptWith({ gpg, passphrase }: Lock): Stage {
  const args = [
    "--compress-algo",
    "none",
    "--cipher-algo",
    "AES256",
    "--s2k-digest-algo",
    "SHA512",
    "--symmetric",
  ];
  return (source) => gpg(args, passphrase, source);
}

/**
 * Undoes `encryptWith`. Bytes come out before gpg has proven them: trust none of them until the stream has ended well.
 * Throws `passphrase-wrong`, or `program-failed` when the message is damaged.
 */
export function decryptWith({ gpg, passphrase }: Lock): Stage {
  return (source) => gpg(["--decrypt"], passphrase, source);
}
