import { createHash, generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** What a homeserver is told about its client at the provider. */
const CLIENT = { id: "synapse", secret: "secret of the client" };
const KEY_ID = "one";

interface Login {
  readonly redirectUri: string;
  readonly nonce: string;
  readonly challenge: string | null;
}

/**
 * An OpenID Connect provider (OpenID Connect Core 1.0, authorization code flow with PKCE) that knows one person, who is always
 * signed in there. As real ones do, it sends browsers to registered callbacks only, and gives tokens to its client only.
 */
export class OpenIdProvider {
  /** Where it may send browsers. */
  readonly callbacks = new Set<string>();
  readonly #keys = generateKeyPairSync("rsa", { modulusLength: 2048 });
  readonly #logins = new Map<string, Login>();
  readonly #server = createServer((asked, answer) => {
    let body = "";
    asked.on("data", (piece: Buffer) => (body += piece.toString()));
    asked.on("end", () => {
      const { status, place, json } = this.#answer(
        new URL(asked.url!, this.origin),
        new URLSearchParams(body),
        asked.headers.authorization,
      );
      answer
        .writeHead(status, { "Content-Type": "application/json", ...(place ? { Location: place } : {}) })
        .end(JSON.stringify(json));
    });
  });

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** An entry of `oidc_providers` in homeserver.yaml. */
  get settings() {
    return {
      idp_id: "provider",
      idp_name: "A provider",
      issuer: `${this.origin}/`,
      client_id: CLIENT.id,
      client_secret: CLIENT.secret,
      scopes: ["openid", "profile"],
      // It has no certificate.
      skip_verification: true,
      user_mapping_provider: { config: { localpart_template: "{{ user.preferred_username }}" } },
    };
  }

  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  #answer(
    { pathname, searchParams }: URL,
    form: URLSearchParams,
    authorization: string | undefined,
  ): { status: number; place?: string; json?: unknown } {
    switch (pathname) {
      case "/.well-known/openid-configuration":
        return { status: 200, json: this.#metadata() };
      case "/keys":
        return {
          status: 200,
          json: {
            keys: [
              { ...this.#keys.publicKey.export({ format: "jwk" }), kid: KEY_ID, alg: "RS256", use: "sig" },
            ],
          },
        };
      case "/authorize": {
        const redirectUri = searchParams.get("redirect_uri") ?? "";
        if (searchParams.get("client_id") !== CLIENT.id || !this.callbacks.has(redirectUri))
          return { status: 400, json: { error: "invalid_request", callback: redirectUri } };
        const code = randomUUID();
        const nonce = searchParams.get("nonce") ?? "";
        this.#logins.set(code, { redirectUri, nonce, challenge: searchParams.get("code_challenge") });
        const place = new URL(redirectUri);
        place.searchParams.set("code", code);
        place.searchParams.set("state", searchParams.get("state") ?? "");
        return { status: 302, place: place.href };
      }
      case "/token":
        return this.#token(form, authorization);
      default:
        return { status: 404, json: {} };
    }
  }

  #metadata() {
    const { origin } = this;
    return {
      issuer: `${origin}/`,
      authorization_endpoint: `${origin}/authorize`,
      token_endpoint: `${origin}/token`,
      jwks_uri: `${origin}/keys`,
      response_types_supported: ["code"],
      subject_types_supported: ["public"],
      id_token_signing_alg_values_supported: ["RS256"],
      code_challenge_methods_supported: ["S256"],
      token_endpoint_auth_methods_supported: ["client_secret_basic"],
    };
  }

  /** A code is good once, for the callback and the verifier that it was asked with. */
  #token(form: URLSearchParams, authorization: string | undefined): { status: number; json: unknown } {
    const code = form.get("code") ?? "";
    const login = this.#logins.get(code);
    this.#logins.delete(code);
    const expected = [CLIENT.id, CLIENT.secret].map(encodeURIComponent).join(":");
    const given = Buffer.from((authorization ?? "").replace(/^Basic /, ""), "base64").toString();
    if (decodeURIComponent(given.replaceAll("+", " ")) !== decodeURIComponent(expected))
      return { status: 401, json: { error: "invalid_client" } };
    const verifier = createHash("sha256")
      .update(form.get("code_verifier") ?? "")
      .digest("base64url");
    if (login?.redirectUri !== form.get("redirect_uri") || login.challenge !== verifier)
      return { status: 400, json: { error: "invalid_grant" } };
    const now = Math.floor(Date.now() / 1000);
    const claims = {
      iss: `${this.origin}/`,
      sub: "dora-of-the-provider",
      aud: CLIENT.id,
      iat: now,
      exp: now + 600,
      nonce: login.nonce,
      preferred_username: "dora",
      name: "Dora",
    };
    const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const signed = `${part({ alg: "RS256", kid: KEY_ID })}.${part(claims)}`;
    const signature = sign("sha256", Buffer.from(signed), this.#keys.privateKey).toString("base64url");
    return {
      status: 200,
      json: { access_token: randomUUID(), token_type: "Bearer", id_token: `${signed}.${signature}` },
    };
  }
}
