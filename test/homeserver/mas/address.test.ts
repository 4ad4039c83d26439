import assert from "node:assert/strict";
import { test } from "node:test";
import { masAddress, masArgs } from "../../../src/homeserver/mas/address.ts";

const placeOf = (path: string) => `/etc/mas/${path}`;
const addressIn = (database: object | undefined) => masAddress({ database }, placeOf, undefined);

test("the service's database is read from one address, or from its parts", () => {
  assert.deepEqual(addressIn({ uri: "postgresql://mas:p%40ss@db.example:5433/auth?sslmode=verify-full" }), {
    parameters: { user: "mas", host: "db.example", port: "5433", dbname: "auth", sslmode: "verify-full" },
    password: "p@ss",
  });
  const parts = {
    ...{ host: "db.example", port: 5433, username: "mas", password: "p@ss", database: "auth" },
    ...{ ssl_mode: "verify-ca", ssl_ca_file: "ca.pem", max_connections: 10 },
  };
  assert.deepEqual(addressIn(parts), {
    parameters: {
      ...{ host: "db.example", port: "5433", user: "mas", dbname: "auth" },
      ...{ sslmode: "verify-ca", sslrootcert: "/etc/mas/ca.pem" },
    },
    password: "p@ss",
  });
  assert.deepEqual(addressIn(undefined), { parameters: {} });
});

test("an address becomes the service's settings again, a folder of a socket included", () => {
  const tcp = { host: "db", port: 5432, username: "mas", password: "secret", database: "auth" };
  assert.deepEqual(masArgs(addressIn(tcp)), tcp);
  const socket = { parameters: { host: "/run/postgresql", user: "mas", dbname: "auth" } };
  assert.deepEqual(masArgs(socket), { socket: "/run/postgresql", username: "mas", database: "auth" });
});

test("a certificate that stands in the settings themselves is refused, and not shown", () => {
  assert.throws(
    () => addressIn({ ssl_key: "-----BEGIN geheim" }),
    (error: Error & { code: string }) => {
      assert.equal(error.code, "database-unsupported");
      assert.match(error.message, /database.ssl_key/);
      assert.doesNotMatch(error.message, /geheim/);
      return true;
    },
  );
});
