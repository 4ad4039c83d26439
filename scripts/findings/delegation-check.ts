import type { Level } from "../../src/report/finding.ts";
import type { FindingArea } from "./meaning.ts";

const HARD: readonly Level[] = ["ok", "blocker"];
const COMPARED: readonly Level[] = ["ok", "note", "blocker"];
const ANY: readonly Level[] = ["ok", "note", "warning", "blocker"];
const SERVE = "Serve the file that `delegation files` wrote, at every address of the server name.";
const FETCHED = "It is fetched from every address of the server name, and compared with what is expected.";

export const DELEGATION_CHECK: FindingArea = {
  page: "delegation-check",
  title: "The address after the change",
  about:
    "What `delegation check` compares with what is expected, at every address and resolver; the evidence has a line for each place. With `--watch` it asks again until all is as expected.",
  findings: {
    "delegation-dns": {
      levels: HARD,
      means: "Whether DNS answers every question.",
      known: "Each name is asked of several resolvers and of the authoritative name servers.",
      clears: "Check the zone at its DNS provider, and the resolvers that are named.",
    },
    "delegation-old-address": {
      levels: COMPARED,
      means:
        "Whether a name still leads to another address than that of the new host. A note says that only caches may.",
      known: "Each name is asked of several resolvers and of the authoritative name servers.",
      clears:
        "Change or remove these records, AAAA records too. An answer from a cache ends by itself at the time given.",
    },
    "delegation-private": {
      levels: ["ok", "warning"],
      means: "Whether a name that the server gave leads to a private address, which was not followed.",
      known: "The address is in a private range.",
      clears: "If it is your own network: `--allow-private` with the name.",
    },
    "delegation-time-limit": {
      levels: ["warning"],
      means: "The time limit of all requests together was over before everything had answered.",
      known: "What was not waited for counts as unanswered.",
      clears: "Look at what did not answer; `--time-limit` gives all of it more time.",
    },
    "delegation-discovery": {
      levels: COMPARED,
      means: "Whether other servers are led to the right place.",
      known: "The steps of the discovery are made as another server makes them.",
      clears:
        "Correct the well-known file for servers, or the SRV records; `delegation show` shows each step.",
    },
    "delegation-federation": {
      levels: COMPARED,
      means: "Whether every address answers other servers.",
      known: "Each is asked over TLS. A note says that this host has no route to one.",
      clears: "Make every address answer, or remove its record.",
    },
    "delegation-client": {
      levels: COMPARED,
      means: "Whether every address answers clients.",
      known:
        "Each is asked over TLS. A note says that this host has no route to one, or that no base URL is known.",
      clears: "Make every address answer, or remove its record.",
    },
    "delegation-certificate": {
      levels: ["ok", "warning", "blocker"],
      means: "Whether every certificate is valid for its name, and for how long.",
      known: "Each is verified as a client verifies it.",
      clears:
        "Install one for the name given, from an authority that everybody trusts, with its complete chain.",
    },
    "delegation-signing-key": {
      levels: COMPARED,
      means: "Whether the server signs with the expected keys. Another key is another identity.",
      known: "Each address is asked for its keys. A note says that none were given to compare with.",
      clears:
        "Stop that server before others see it; put the key of the old server in place, or correct the address.",
    },
    "delegation-signature": {
      levels: HARD,
      means: "Whether the published keys are signed by themselves, valid in time, and of this server name.",
      known: "The signatures are verified.",
      clears: "Something between changes the answer, or another server answers: find which.",
    },
    "delegation-version": {
      levels: COMPARED,
      means: "Whether every address tells the version of its server.",
      known: "Each is asked for `/_matrix/federation/v1/version`.",
      clears: "Pass `/_matrix/federation` on to Synapse, beside `/_matrix/key`.",
    },
    "delegation-same-answers": {
      levels: HARD,
      means: "Whether all addresses give the same answers.",
      known: "Keys, versions and files are compared between the addresses.",
      clears: "One of them leads to another server or an old file: correct it, or remove its record.",
    },
    "delegation-well-known-client": {
      levels: ANY,
      means: "Whether the well-known file for clients is as expected.",
      known: FETCHED,
      clears: SERVE,
    },
    "delegation-well-known-server": {
      levels: ANY,
      means: "Whether the well-known file for servers is as expected.",
      known: FETCHED,
      clears: SERVE,
    },
    "delegation-well-known-others": {
      levels: ANY,
      means: "Whether the other well-known files, such as the one with contacts, are as expected.",
      known: FETCHED,
      clears: SERVE,
    },
    "delegation-cors": {
      levels: HARD,
      means: "Whether clients in browsers may use every answer.",
      known: "Requests are made as a browser makes them, and the Access-Control headers are looked at.",
      clears:
        "Answer OPTIONS with 2xx, and send each Access-Control header once: by the proxy or by Synapse, not by both.",
    },
    "delegation-login": {
      levels: ANY,
      means: "Whether a login tells clients the expected base URL. Clients switch to what the login answers.",
      known: "Where it is asked for, one login is made and ended again.",
      clears: "Correct `public_baseurl` in the configuration of the new server.",
    },
    "delegation-notary": {
      levels: ["ok", "note", "warning"],
      means: "Whether other servers know the expected keys.",
      known: "The servers that are named are asked for the keys that they have of this one.",
      clears:
        "They ask again by themselves. Where one knows a wrong key, find out which server published that.",
    },
  },
};
