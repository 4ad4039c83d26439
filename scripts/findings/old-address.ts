import type { FindingArea } from "./meaning.ts";

export const OLD_ADDRESS: FindingArea = {
  page: "old-address",
  title: "Leaving the old address",
  about:
    "What `sign-out test` sees at the old address, as browsers, other clients and other servers do, and what `forward`, `maintenance` and `sign-out config` say of the files they write.",
  findings: {
    "certificate-resolver": {
      means:
        "The file for Traefik names nothing that obtains a certificate. Traefik serves one that it has for the host already, or else its default certificate, which no client accepts.",
      known: "Neither `--cert-resolver` nor `--certificate` was given.",
      clears:
        "Give `--cert-resolver` with the name below `certificatesResolvers` in Traefik's configuration, or `--certificate` and `--key`.",
    },
    "no-answer": {
      means: "The old address does not answer. Clients that cannot connect are not signed out.",
      known: "A request of a client was made; the sentence has the reason.",
      clears: "Start the web server there, or correct the address.",
    },
    status: {
      means: "Whether every request with an access token gets 401.",
      known: "GET, POST, PUT, DELETE and HEAD are tried.",
      clears: "Answer each method alike.",
    },
    "content-type": {
      means:
        "Whether the answer is application/json. Otherwise clients take it for a failure that passes, and stay signed in.",
      known: "From the header, which must be there once.",
      clears: "In nginx use `default_type`, not `add_header`.",
    },
    errcode: {
      means: "Whether the answer has the error code `M_UNKNOWN_TOKEN`, without which clients stay signed in.",
      known: "From the body of the answer.",
      clears: "Answer as the file of `sign-out config` does.",
    },
    "soft-logout": {
      means:
        "Whether the answer says `soft_logout`. Where it is missing it means false: clients discard their messages and keys.",
      known: "From the body of the answer.",
      clears: "Write it: true for clients to keep them, false if they shall not.",
    },
    cors: {
      means: "Whether web clients see the answer to every method; otherwise they report a lost connection.",
      known: "`Access-Control-Allow-Origin` must be there exactly once, for every method.",
      clears: "Send it on every status and method; in nginx with `always`, and in every `if` block.",
    },
    preflight: {
      means: "Whether browsers may send every request with an access token.",
      known: "OPTIONS is sent for GET, POST, PUT and DELETE.",
      clears: "Answer OPTIONS with 204 and all methods and headers.",
    },
    "sign-in": {
      means:
        "Whether clients can sign in again at this address. After a soft sign-out they do it here; without one, they are signed out again if they stay here.",
      known: "Versions and login are asked for.",
      clears: "Forward versions and login to the new server.",
    },
    versions: {
      means:
        "After a hard sign-out: clients whose connection was interrupted, as when the web server was restarted, do not learn that they are signed out. They ask for the versions, without an access token, until these are answered, and only then sync again.",
      known: "`/_matrix/client/versions` is asked for without an access token.",
      clears: "Forward `/_matrix/client/versions` to the new server.",
    },
    federation: {
      means:
        "Whether requests of other servers are answered. They may keep this address for 48 hours, and back off from the new server when it fails.",
      known: "The version and the key are asked for as other servers ask.",
      clears: "Forward `/_matrix/federation` and `/_matrix/key` to the new server.",
    },
    "well-known": {
      means:
        "Whether the well-known files are left alone. Without them clients and servers do not find the new server.",
      known: "Both are asked for; 200 and 404 are fine.",
      clears: "Leave `/.well-known/matrix` alone.",
    },
    acme: {
      means:
        "Whether certificate challenges are left alone. Otherwise the certificate cannot be renewed, and later nobody is signed out.",
      known: "A challenge is asked for and must not get 401.",
      clears: "Leave `/.well-known/acme-challenge` alone, also on port 80.",
    },
    "media-links": {
      means: "Whether old links to media are left alone: they need no access token.",
      known: "A link is asked for and must not get 401.",
      clears: "Forward GET of `/_matrix/media` to the new server.",
    },
    "large-body": {
      means: "Whether requests with a large body are answered alike.",
      known: "A body of 2 MiB is sent.",
      clears: "Allow any size: `client_max_body_size 0` in nginx.",
    },
    "tls-1-2": {
      means: "Whether clients without TLS 1.3 are answered.",
      known: "A connection with TLS 1.2 is made.",
      clears: "Allow TLS 1.2 and 1.3: other clients are not told that they are signed out.",
    },
    "http-2": {
      means: "Whether HTTP/2 is answered. Clients fall back to HTTP/1.1.",
      known: "A connection with HTTP/2 is made.",
      clears: "Nothing has to be done.",
    },
    "federation-port": {
      means:
        "Nothing listens on port 8448, where other servers look if no well-known file or SRV record says otherwise; or the file that was written does not.",
      known: "A connection is tried; or from the options given.",
      clears: "If the old server listened there: `--listen 443 --listen 8448`.",
    },
    "proxy-version": {
      means:
        "There is no nginx on this host to ask for its version, so HTTP/2 is written as before nginx 1.25.1. Newer versions accept it with a warning.",
      known: "The program is looked for.",
      clears: "Run this on the host of the web server.",
    },
    "other-paths": {
      means: "The file that was written answers 404 for `/.well-known` and all other paths of the old host.",
      known: "Nothing was named that serves them.",
      clears: "Give `--web-server` with what serves them now.",
    },
    "certificate-path": {
      means: "This host does not have the certificate that the file names.",
      known: "The path is looked at.",
      clears:
        "Give `--certificate` and `--key`, or run this on the host of the web server. HAProxy wants both in one file.",
    },
  },
};
