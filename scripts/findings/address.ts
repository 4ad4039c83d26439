import type { FindingArea } from "./meaning.ts";

export const ADDRESS: FindingArea = {
  page: "address",
  title: "The address before the move: DNS, well-known files, certificates",
  about:
    "How clients and other servers find the server now, as `plan`, `delegation show` and `delegation files` see it from this host, and when the address can be moved.",
  findings: {
    "server-name-is-ip": {
      means: "The server name is an IP address, so other servers can find it only there.",
      known: "From `server_name`.",
      clears: "A server name cannot be changed: the new host must take over this address.",
    },
    "server-name-port": {
      means: "The server name has a port, so other servers use neither a well-known file nor an SRV record.",
      known: "From `server_name`.",
      clears:
        "The new host must listen on that port, with a certificate for that name; only the address records change. Then accept the warning.",
    },
    "server-file-unused": {
      means:
        "Other servers do not read a well-known file for this server name, because it has a port or is an IP address.",
      known: "From the server name given.",
      clears: "Change the address records only; the new host must listen on that port.",
    },
    "server-resolved": {
      means: "Where other servers find this server, and in which step of the discovery.",
      known: "The steps that Matrix prescribes are made one after another, as another server makes them.",
    },
    "server-unresolved": {
      means:
        "Other servers cannot find this server: a step of the discovery fails, what it leads to has no address, or the server name is not valid.",
      known: "The steps that Matrix prescribes are made one after another; the evidence has each answer.",
      clears:
        "Correct the record or file, or remove it: only a missing one makes servers go on with the next step.",
    },
    "federation-answers": {
      means: "The server responds at the addresses that other servers use.",
      known: "Each address is asked over TLS, with the name that other servers use.",
    },
    "federation-unreachable": {
      means: "No address that other servers use responds.",
      known:
        "Each address is asked from this host. Some routers do not support connections to their own public address.",
      clears: "Check from another network; otherwise start the server, or open the port.",
    },
    "federation-address-unreachable": {
      means: "One of the addresses that other servers use does not respond. Connections to it fail.",
      known: "Each address is asked from this host.",
      clears: "Make it answer, or remove its record.",
    },
    "federation-addresses-differ": {
      means: "The addresses that other servers use lead to different servers. Other servers use any of them.",
      known: "The answers of all addresses are compared.",
      clears: "Remove the record that leads to the wrong one, often an AAAA record that was left behind.",
    },
    "client-answers": {
      means: "Clients are sent to an address that answers.",
      known: "The base URL is asked at each of its addresses.",
    },
    "client-unreachable": {
      means: "The address that clients are sent to does not respond, or its name has no address.",
      known: "The base URL is asked at each of its addresses, from this host.",
      clears:
        "Check from another network; otherwise start the server, add the record, or correct `m.homeserver.base_url`.",
    },
    "client-address-unreachable": {
      means: "One of the addresses that clients use does not respond. Connections to it fail.",
      known: "Each address is asked from this host.",
      clears: "Make it answer, or remove its record.",
    },
    "address-not-tested": {
      means: "This host has no route to an address of the server, so it was not tested.",
      known: "The connection failed for want of a route; usually this host has no IPv6.",
      clears: "Test these addresses from a host that has it.",
    },
    "address-private": {
      means: "DNS returns a private address of the server to this host, which is not reachable from outside.",
      known: "The address is in a private range.",
      clears: "Use a resolver outside this network to see the public addresses.",
    },
    "private-not-followed": {
      means:
        "A name that the server gave leads to a private address, which was not followed, so that nobody can make synlift ask services of an inner network.",
      known: "The address is in a private range.",
      clears: "If it is your own network: `--allow-private` with the name.",
    },
    certificate: {
      means: "The certificates are valid.",
      known: "Each is verified as a client verifies it, for the name that is used.",
    },
    "certificate-invalid": {
      means: "A certificate is not valid for clients or other servers.",
      known: "Each is verified as a client verifies it, for the name that is used.",
      clears: "Install a certificate for the name that the hint gives, with its complete chain.",
    },
    "certificate-expiring": {
      means:
        "A certificate expires within 14 days. Validation over HTTP fails once the name points to another host.",
      known: "From the certificate.",
      clears: "Renew it before the move.",
    },
    caa: {
      means: "Which authorities may issue certificates for the names. The new host must use one of them.",
      known: "The CAA records of each name, or of the nearest one above it.",
      clears: "Use one of these authorities, or add a CAA record before the move.",
    },
    "caa-forbids": {
      means:
        "CAA records forbid every authority to issue a certificate for a name that the new host needs one for.",
      known: "From the CAA records.",
      clears: "Allow an authority with a CAA record, or copy certificate and key to the new host.",
    },
    "caa-account": {
      means: "CAA records allow only one ACME account, and the new host has another one.",
      known: "From `accounturi` in the CAA records.",
      clears: "Copy the ACME account to the new host, or add a CAA record for the new account.",
    },
    "caa-method": {
      means: "CAA records do not allow validation over HTTP or TLS.",
      known: "From `validationmethods` in the CAA records.",
      clears: "Use a method that is listed on the new host too, or change the record.",
    },
    "dns-unavailable": {
      means: "DNS does not answer at all, so it is unknown how other servers find this server.",
      known: "Every lookup failed.",
      clears: "Check the resolvers of this host in /etc/resolv.conf, or use another one.",
    },
    "dns-lookup-failed": {
      means:
        "A DNS lookup fails, which other servers meet as well. While a CAA lookup fails, no authority issues certificates.",
      known: "The lookup was made; the evidence has each outcome.",
      clears: "Check the zone at its DNS provider.",
    },
    "dns-ttl": {
      means:
        "How long resolvers cache the records that the move changes: at most 5 minutes is fine, more than an hour is a warning.",
      known: "The TTL is asked of an authoritative name server, where one answers.",
      clears:
        "Lower these TTLs at the DNS provider at least 48 hours before the move, but only of records that will change.",
    },
    "dns-negative-ttl": {
      means: "Resolvers cache for more than an hour that a record does not exist.",
      known: "From the SOA record of the zone.",
      clears: "Add new records well before they are needed.",
    },
    "dns-not-authoritative": {
      means:
        "Some TTLs come from a resolver and are only the time that is left; the real ones may be longer.",
      known: "No authoritative name server answered this host.",
      clears: "Check them at the DNS provider, or run this from a network that allows outgoing DNS.",
    },
    "safe-from": {
      means:
        "From when the address can be moved without anybody using something cached, provided that the TTLs are lowered now.",
      known:
        "The longest of all caches: TTLs, well-known files, and what other servers keep. The evidence lists each.",
      clears: "Lower the TTLs and wait; or let the old host forward all requests.",
    },
    "https-hints": {
      means: "An HTTPS record contains addresses, which browsers may use before the A and AAAA records.",
      known: "The HTTPS record is looked up.",
      clears: "Change it together with the A and AAAA records.",
    },
    "srv-alias": {
      means: "An SRV record points to a CNAME, which RFC 2782 forbids and some servers reject.",
      known: "The target is looked up.",
      clears: "Point it to a host name with A or AAAA records of its own.",
    },
    "srv-deprecated": {
      means: "There is an SRV record of the deprecated service `_matrix._tcp`.",
      known: "It is looked up.",
      clears:
        "Change it together with the address, or remove it; replace one that is in use with `_matrix-fed._tcp`.",
    },
    "srv-unused": {
      means:
        "There is an SRV record that other servers do not use. They use it when the well-known file fails.",
      known: "The discovery ended before it.",
      clears: "Change it together with the address, or remove it.",
    },
    "well-known-absent": {
      suffix: "client",
      means:
        "There is no well-known file for clients. With one, people only need the server name to sign in.",
      known: "It was asked for; the sentence has the answer.",
      clears: "Serve one, or leave it.",
    },
    "well-known-cache": {
      suffix: "server or client",
      means:
        "How long a well-known file may be cached: at most 5 minutes is fine, more than 48 hours is a warning.",
      known: "From Cache-Control and Expires in the answer.",
      clears: "Serve it with `Cache-Control: max-age=300` at least 48 hours before anything in it changes.",
    },
    "well-known-cors": {
      means: "Clients in browsers cannot read the well-known file.",
      known: "`Access-Control-Allow-Origin` is missing in the answer or in a redirect to it.",
      clears: "Send `Access-Control-Allow-Origin: *` with the file and with every redirect to it.",
    },
    "well-known-insecure": {
      means:
        "The well-known file for other servers is redirected to an address without TLS, so an attacker can redirect other servers.",
      known: "The redirects are followed.",
      clears: "Redirect to https.",
    },
    "well-known-invalid": {
      suffix: "server or client",
      means:
        "A well-known file cannot be used: it is not JSON, has no valid value, or its answer is an error.",
      known: "It is read as other servers and clients read it.",
      clears:
        "Serve it as the hint shows, with status 200 over valid TLS; or return 404 if no file is wanted.",
    },
    "well-known-redirect": {
      means:
        "The well-known file for other servers is behind a redirect with status 308, which older servers do not follow.",
      known: "The redirects are followed.",
      clears: "Use 301, 302 or 307.",
    },
    "well-known-unreachable": {
      suffix: "server or client",
      means:
        "The address of a well-known file does not respond. It is a note where the server is found without it.",
      known: "It was asked for from this host.",
      clears: "If there should be a file, start its web server; or check from another network.",
    },
    "well-known-on-moving-host": {
      means: "A well-known file is served from an address of the server that moves.",
      known: "The addresses of both are compared.",
      clears:
        "Serve the files on the new host from the start, and on the old host until no more requests arrive.",
    },
    "base-url-differs": {
      means:
        "The well-known file and `public_baseurl` have different addresses. The answer to a login sends clients to `public_baseurl`.",
      known: "Both are compared.",
      clears: "Make both the same.",
    },
    "sliding-sync-proxy": {
      means: "The well-known file for clients names a sliding sync proxy, which clients no longer use.",
      known: "The file has the key `org.matrix.msc3575.proxy`.",
      clears: "Remove the key: Synapse has sliding sync built in.",
    },
    "well-known-to-carry": {
      means:
        "The server that moves serves more below `/.well-known/` than the two addresses: contacts, settings of clients, where calls are made. It is lost unless the new one serves it too.",
      known: "Each known file is fetched, and the keys of the one for clients are read.",
      clears:
        "`delegation files` carries all of it over; `--accept well-known-to-carry` when you do it by hand.",
    },
    "well-known-key-twice": {
      means: "A key is twice in a well-known file, so only the last one is carried over.",
      known: "The keys of the text are counted.",
      clears: "Write it once, then run `delegation files` again.",
    },
    "well-known-not-carried": {
      suffix: "FILE",
      means:
        "A well-known file cannot be read as it is now, so what is in it is not carried over to the new one.",
      known: "It was fetched, or read from the folder given with `--from`.",
      clears: "Correct it first, or give the folder with the files.",
    },
    "well-known-names-old-host": {
      means:
        "A well-known file still names a host that will not be used any more, for calls, integrations or the like.",
      known: "Every address in the files is compared with the host that is left.",
      clears: "If that service moves too, change its address in the files below `after/`.",
    },
    "before-kept": {
      means: "Files of an earlier run below `before/` were kept, because they are needed to go back.",
      known: "They were there already.",
    },
    "new-host-without-address": {
      means:
        "A name that will be used has no address yet. That it does not exist may be cached for the time in the evidence.",
      known: "It was looked up.",
      clears: "Give the addresses of the new host with `--address`, or create the records before the change.",
    },
    "aaaa-to-remove": {
      means: "An AAAA record leads to the old host and is to be removed.",
      known: "From the records now and the addresses given.",
      clears: "If the new host has IPv6, give that address with `--address` too.",
    },
    "change-too-early": {
      means: "At the time given some will still use what they have cached.",
      known: "The time given with `--when` is earlier than lowering the TTLs now allows.",
      clears: "Lower them now and choose a later time; without `--when`, the earliest safe time is taken.",
    },
  },
};
