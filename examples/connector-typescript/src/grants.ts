// What may be done: a grant, signed by governance (Ed25519, RFC 8032) for one source, operation and task.
import { createPublicKey, verify, type KeyObject } from "node:crypto";

import { z } from "zod";

import { decode } from "./contract.js";
import { DsrError } from "./errors.js";
import { WatchedFile } from "./files.js";
import type { Grant__Output as Grant } from "./gen/dsr/connector/v1/Grant.js";
import type { SignedGrant__Output as SignedGrant } from "./gen/dsr/connector/v1/SignedGrant.js";
import type { Timestamp__Output as Timestamp } from "./gen/google/protobuf/Timestamp.js";
import { Jwk } from "./tokens.js";

const PREFIX = Buffer.from("dsr.connector.v1.Grant\0", "ascii");
const MAX_LIFETIME_MS = 5 * 60_000;
const CLOCK_TOLERANCE_MS = 30_000;

const KeySet = z.object({ keys: z.array(Jwk) });

export class Grants {
  readonly #keys: WatchedFile<Map<string, KeyObject>>;

  // `path`: a JWK set (RFC 7517) with governance's public keys. Read again when it changes, so that keys can rotate.
  constructor(path: string) {
    this.#keys = new WatchedFile(path, (text) => {
      const { keys } = KeySet.parse(JSON.parse(text));
      return new Map(keys.map((jwk) => [jwk.kid, createPublicKey({ key: jwk, format: "jwk" })]));
    });
    this.#keys.read(); // a missing or broken file ends the start, not the first call
  }

  // The grant, or GRANT_INVALID with `why`. The signature is verified over the bytes received, before they are parsed.
  verify(signed: SignedGrant, source: string, operation: Grant["operation"], now: number): Grant {
    const key = this.#keys.read().get(signed.keyId);
    if (key === undefined) {
      throw notValid("UNKNOWN_KEY");
    }
    if (!verify(null, Buffer.concat([PREFIX, signed.grant]), key, signed.signature)) {
      throw notValid("SIGNATURE");
    }
    const grant = parse(signed.grant);
    if (grant.source !== source) {
      throw notValid("SOURCE");
    }
    if (grant.operation !== operation) {
      throw notValid("OPERATION");
    }
    if (grant.sandbox !== null) {
      throw notValid("SANDBOX"); // this connector's people are real
    }
    if (grant.task === "" || grant.attempt < 1) {
      throw notValid("MALFORMED");
    }
    const issued = milliseconds(grant.issueTime);
    const expires = milliseconds(grant.expireTime);
    if (now < issued - CLOCK_TOLERANCE_MS || now > expires || expires - issued > MAX_LIFETIME_MS) {
      throw notValid("EXPIRED");
    }
    return grant;
  }
}

function parse(bytes: Uint8Array): Grant {
  try {
    return decode<Grant>("dsr.connector.v1.Grant", bytes);
  } catch {
    throw notValid("MALFORMED");
  }
}

function milliseconds(time: Timestamp | null): number {
  if (time === null) {
    throw notValid("EXPIRED");
  }
  return time.seconds * 1000 + time.nanos / 1e6;
}

function notValid(why: string): DsrError {
  return new DsrError("GRANT_INVALID", "The grant does not permit this. Get a new one from governance.", { why });
}
