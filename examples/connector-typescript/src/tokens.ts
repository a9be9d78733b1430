// Who calls: a JWT (RFC 7519) signed with EdDSA by somebody in the trust file, for exactly one of our sources.
import type { Metadata } from "@grpc/grpc-js";
import { decodeJwt, importJWK, jwtVerify, type CryptoKey } from "jose";
import { z } from "zod";

import { DsrError } from "./errors.js";
import { WatchedFile } from "./files.js";

export const Jwk = z.object({ kty: z.literal("OKP"), crv: z.literal("Ed25519"), kid: z.string().min(1), x: z.string() });

const TrustFile = z.object({
  issuers: z.array(
    z.object({
      issuer: z.string().min(1),
      roles: z.array(z.string()),
      keys: z.array(Jwk),
      development: z.boolean().optional(),
    }),
  ),
});

const Claims = z.object({ aud: z.string(), sub: z.string().min(1), iat: z.number(), exp: z.number(), roles: z.array(z.string()) });

const MAX_TOKEN_CHARACTERS = 4096;
const LIFETIME_SECONDS = 300;
const CLOCK_TOLERANCE_SECONDS = 5;

export class Tokens {
  readonly #trust: WatchedFile<z.infer<typeof TrustFile>>;

  // Issuers marked as `development` are believed on loopback only.
  constructor(
    trustPath: string,
    private readonly sources: readonly string[],
    private readonly loopback: boolean,
  ) {
    this.#trust = new WatchedFile(trustPath, (text) => TrustFile.parse(JSON.parse(text)));
    this.#trust.read(); // a missing or broken file ends the start, not the first call
  }

  // The source that the call's token speaks to. CREDENTIAL_MISSING, CREDENTIAL_INVALID or ROLE_REQUIRED.
  async audience(metadata: Metadata): Promise<string> {
    const [header, ...more] = metadata.get("authorization");
    if (header === undefined) {
      throw new DsrError("CREDENTIAL_MISSING", "Present a token: authorization: Bearer <token>.");
    }
    if (typeof header !== "string" || more.length > 0 || !header.startsWith("Bearer ")) {
      throw notValid();
    }
    const claims = await this.#verify(header.slice("Bearer ".length));
    if (!claims.roles.includes("ROLE_SERVICE")) {
      throw new DsrError("ROLE_REQUIRED", "Only the platform's services call connectors.", { roles: "ROLE_SERVICE" });
    }
    return claims.aud;
  }

  async #verify(token: string): Promise<z.infer<typeof Claims>> {
    // Outside of the `try`: a trust file that can't be read is a defect here, not a bad token.
    const { issuers } = this.#trust.read();
    try {
      const issuer = issuers.find(({ issuer }) => issuer === decodeJwt(token.slice(0, MAX_TOKEN_CHARACTERS)).iss);
      if (issuer === undefined || (issuer.development === true && !this.loopback)) {
        throw notValid();
      }
      // Keys come from the file alone: `jku`, `x5u` and `jwk` in the token's header are ignored.
      const key = async ({ kid }: { kid?: string }): Promise<CryptoKey> => {
        const jwk = issuer.keys.find((known) => known.kid === kid);
        if (jwk === undefined) {
          throw notValid();
        }
        return (await importJWK(jwk, "EdDSA")) as CryptoKey;
      };
      const { payload } = await jwtVerify(token, key, {
        algorithms: ["EdDSA"],
        issuer: issuer.issuer,
        audience: [...this.sources],
        clockTolerance: CLOCK_TOLERANCE_SECONDS,
        maxTokenAge: LIFETIME_SECONDS,
        requiredClaims: ["sub", "exp", "jti"],
      });
      const claims = Claims.parse(payload);
      const lifetime = claims.exp - claims.iat;
      if (lifetime > LIFETIME_SECONDS || !claims.roles.every((role) => issuer.roles.includes(role))) {
        throw notValid();
      }
      return claims;
    } catch {
      // Whatever it was: the answer doesn't say why.
      throw notValid();
    }
  }
}

function notValid(): DsrError {
  return new DsrError("CREDENTIAL_INVALID", "The token is not valid here. Get a new one for this source.");
}
