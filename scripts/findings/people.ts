import type { FindingArea } from "./meaning.ts";

export const PEOPLE: FindingArea = {
  page: "people",
  title: "The people of the server",
  about:
    "Who would lose encrypted messages by having to sign in again. Nobody has to, as long as the address and the database come along.",
  findings: {
    people: {
      means: "How many people have an account, and how many of them were seen in the last 30 days.",
      known: "Counted in the database, apart from bots, guests and the like.",
    },
    "people-ready": {
      means: "Nobody would lose encrypted messages by having to sign in again, as far as was checked.",
      known: "From key backups, secret storage and devices in the database. No message is decrypted.",
    },
    "people-at-risk": {
      means:
        "How many people would lose encrypted messages if they had to sign in again: they have no key backup, one that is not enough, or switched it off.",
      known: "From key backups, secret storage and devices in the database. No message is decrypted.",
      clears:
        "Keep the address, or forward the old one. Tell these people before: `users --announce`. Then accept the warning.",
    },
    "people-coverage": {
      means: "Whether the key backups are up to date was not measured.",
      known: "`plan` does not read the encrypted events.",
      clears: "`synlift users` measures it.",
    },
    "people-dehydrated-device": {
      means: "Accounts have a dehydrated device, which receives keys while they are away.",
      known: "From the database.",
      clears: "Keep `experimental_features.msc3814_enabled` on the new server.",
      levels: ["note"],
    },
    "people-mas": {
      means:
        "Log-ins are kept by Matrix Authentication Service, not in this database. The findings on key backups still apply.",
      known: "From the settings.",
      clears: "To sign people out, use `mas-cli manage kill-sessions`.",
    },
    "people-opted-out": {
      means: "People told their app to keep no key backup.",
      known: "From their account data.",
      clears: "Respect it, and tell them that they can export their keys to a file.",
      levels: ["note"],
    },
    "people-single-device": {
      means: "People at risk have their keys on one device alone, and no other device could share them.",
      known: "From the devices in the database.",
      clears: "Tell them first.",
      levels: ["note"],
    },
    "people-without-cross-signing": {
      means:
        "People in encrypted rooms have no cross-signing. After they signed in again, others would see a new, unverified device.",
      known: "From the cross-signing keys in the database.",
      clears: "Nothing has to be done as long as nobody signs in again.",
      levels: ["note"],
    },
    "people-unknown": {
      means: "Before a sign-out of everybody, it was not counted who would lose encrypted messages.",
      known: "The homeserver's configuration was not named.",
      clears: "Run `synlift users` on the host with the homeserver's configuration.",
    },
    "pushers-left": {
      means: "Phones that were signed out go on to get pushes, because this Synapse cannot switch them off.",
      known: "The table `pushers` has no column `enabled`, which came with schema version 73 (Synapse 1.67).",
      clears: "Delete the devices once the server runs.",
    },
    notices: {
      means: "How many notices were sent, or would be sent in a dry run.",
      known: "The server accepted each; who got one is recorded, so nobody gets a second copy.",
    },
    "notices-not-sent": {
      means: "Not all notices could be sent.",
      known: "The server refused some or stopped answering; the evidence has its reasons.",
      clears: "Fix the cause and run the same command again.",
    },
  },
};
