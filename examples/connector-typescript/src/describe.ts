// Describe and Probe: what there is, and whether it may be worked with.
import { accessSync, constants } from "node:fs";
import { dirname } from "node:path";

import { DsrError } from "./errors.js";
import type { DescribeResponse } from "./gen/dsr/connector/v1/DescribeResponse.js";
import type { ProbeResponse } from "./gen/dsr/connector/v1/ProbeResponse.js";
import type { Source } from "./source.js";

const VERSION = "0.1.0";
const CAPABILITIES = ["CAPABILITY_EXPORT", "CAPABILITY_ERASE", "CAPABILITY_ANONYMISE", "CAPABILITY_ATOMIC"] as const;

export function* describe(source: Source): Generator<DescribeResponse> {
  const snapshot = source.store.read();
  const undeclared = Object.keys(snapshot.content.collections).filter(
    (name) => !source.collections.some((declared) => declared.name === name),
  );
  yield {
    connector: "example-shop",
    version: VERSION,
    capabilities: [...CAPABILITIES],
    collections: source.collections.map((declared) => ({
      ...declared,
      recordEstimate: snapshot.records(declared.name).length,
    })),
    findings: undeclared.sort().map((name) => ({
      code: "UNDECLARED_COLLECTION",
      detail: `The store has the collection ${name}: declare it, with noPersonalData if that is so.`,
    })),
    maxRecordsPerSubject: source.config.maxRecordsPerSubject,
  };
}

export function* probe(source: Source): Generator<ProbeResponse> {
  try {
    source.store.read();
  } catch (error) {
    if (error instanceof DsrError && error.reason === "SOURCE_UNAVAILABLE") {
      yield { reachable: false };
      return;
    }
    throw error;
  }
  const { encryptedAtRest } = source.config;
  const now = Date.now();
  yield {
    reachable: true,
    encryptedInTransit: true, // a file of this machine: nothing travels
    encryptionAtRest:
      encryptedAtRest === undefined
        ? "ENCRYPTION_AT_REST_UNSPECIFIED"
        : encryptedAtRest
          ? "ENCRYPTION_AT_REST_YES"
          : "ENCRYPTION_AT_REST_NO",
    permissions: [
      { operation: "store: read", allowed: allowed(source.store.path, constants.R_OK) },
      { operation: "store: replace", allowed: allowed(dirname(source.store.path), constants.W_OK) },
    ],
    backendTime: { seconds: Math.floor(now / 1000), nanos: (now % 1000) * 1e6 },
  };
}

function allowed(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false; // that is the answer
  }
}
