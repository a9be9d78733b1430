// The one kind of error that leaves this process: a gRPC status with google.rpc.ErrorInfo. Neither message nor metadata may
// hold personal data: name the field, never its value.
import { Metadata, status, type StatusObject } from "@grpc/grpc-js";

import { encode } from "./contract.js";

// Names of dsr.v1.ErrorReason, without their prefix, with the gRPC code that each has.
const CODES = {
  FIELD_REQUIRED: status.INVALID_ARGUMENT,
  FIELD_INVALID: status.INVALID_ARGUMENT,
  CREDENTIAL_MISSING: status.UNAUTHENTICATED,
  CREDENTIAL_INVALID: status.UNAUTHENTICATED,
  ROLE_REQUIRED: status.PERMISSION_DENIED,
  NOT_FOUND: status.NOT_FOUND,
  GRANT_INVALID: status.PERMISSION_DENIED,
  ATTEMPT_SUPERSEDED: status.ABORTED,
  METHOD_UNKNOWN: status.UNIMPLEMENTED,
  RATE_LIMITED: status.RESOURCE_EXHAUSTED,
  SANDBOX_MISMATCH: status.FAILED_PRECONDITION,
  SOURCE_UNAVAILABLE: status.UNAVAILABLE,
  SOURCE_REJECTED: status.FAILED_PRECONDITION,
  SOURCE_INCONSISTENT: status.DATA_LOSS,
  STREAM_ENDED: status.UNAVAILABLE,
  INTERNAL: status.INTERNAL,
} as const;

export type Reason = keyof typeof CODES;

const RETRY_LATER: ReadonlySet<status> = new Set([status.UNAVAILABLE, status.RESOURCE_EXHAUSTED]);

export class DsrError extends Error {
  readonly code: status;

  constructor(
    readonly reason: Reason,
    message: string,
    readonly metadata: Readonly<Record<string, string>> = {},
    readonly retrySeconds: number = 1,
  ) {
    super(message);
    this.code = CODES[reason];
  }

  // What grpc-js sends: the details travel in the trailing metadata, as a serialised google.rpc.Status.
  status(): StatusObject {
    const details = [packed("google.rpc.ErrorInfo", { reason: this.reason, domain: "dsr.v1", metadata: this.metadata })];
    if (RETRY_LATER.has(this.code)) {
      details.push(packed("google.rpc.RetryInfo", { retryDelay: { seconds: this.retrySeconds } }));
    }
    const metadata = new Metadata();
    const whole = { code: this.code, message: this.message, details };
    metadata.set("grpc-status-details-bin", encode("google.rpc.Status", whole));
    return { code: this.code, details: this.message, metadata };
  }
}

export function invalid(field: string, why: string): DsrError {
  return new DsrError("FIELD_INVALID", `${field}: ${why}.`, { field, why });
}

export function required(field: string): DsrError {
  return new DsrError("FIELD_REQUIRED", `${field} is required.`, { field });
}

export function superseded(): DsrError {
  return new DsrError("ATTEMPT_SUPERSEDED", "Another attempt of this task is newer. Stop.");
}

function packed(type: string, value: object): object {
  return { type_url: `type.googleapis.com/${type}`, value: encode(type, value) };
}
