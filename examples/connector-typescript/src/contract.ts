// The contract, read from protos/ when the process starts: how its messages are written and read, and which fields it requires.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import type { ServiceDefinition } from "@grpc/grpc-js";
import protobuf from "protobufjs";

const SERVICE = "dsr.connector.v1.ConnectorService";
const EXAMPLE = fileURLToPath(new URL("..", import.meta.url));
const FOLDERS = [
  join(EXAMPLE, "../../protos"),
  join(EXAMPLE, "protos"),
  dirname(createRequire(import.meta.url).resolve("protobufjs/package.json")), // google/protobuf
];

const root = new protobuf.Root();
root.resolvePath = (_origin, target) => FOLDERS.map((folder) => join(folder, target)).find(existsSync) ?? target;
root.loadSync(["dsr/connector/v1/connector.proto", "google/rpc/status.proto"]);
root.resolveAll();

// Throws for bytes that are no such message. Fields that the contract doesn't know are dropped.
export function decode<T>(type: string, bytes: Uint8Array): T {
  const found = root.lookupType(type);
  return found.toObject(found.decode(bytes), { longs: Number, enums: String, defaults: true, oneofs: true }) as T;
}

export function encode(type: string, value: object): Buffer {
  const found = root.lookupType(type);
  return Buffer.from(found.encode(found.fromObject(value)).finish());
}

// The service as grpc-js wants it. Requests stay bytes, so that a call without a good token isn't even parsed.
export function serviceDefinition(): ServiceDefinition {
  const methods = root.lookupService(SERVICE).methodsArray.map((method) => [
    method.name,
    {
      path: `/${SERVICE}/${method.name}`,
      requestStream: false,
      responseStream: method.responseStream === true,
      requestSerialize: (bytes: Buffer) => bytes,
      requestDeserialize: (bytes: Buffer) => bytes,
      responseSerialize: (value: object) => encode(`dsr.connector.v1.${method.responseType}`, value),
      responseDeserialize: (bytes: Buffer) => bytes,
    },
  ]);
  return Object.fromEntries(methods) as ServiceDefinition;
}

// Path of the first field that the contract marks REQUIRED and that `message` lacks, in nested messages too; undefined if none.
export function missingField(type: string, message: object, path = ""): string | undefined {
  for (const field of root.lookupType(type).fieldsArray) {
    const value: unknown = (message as Record<string, unknown>)[field.name];
    const name = path + field.name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    if (isRequired(field) && isEmpty(value)) {
      return name;
    }
    const nested = field.resolvedType instanceof protobuf.Type ? field.resolvedType.fullName : undefined;
    if (nested !== undefined && typeof value === "object" && value !== null) {
      const children: [string, object][] = Array.isArray(value)
        ? value.map((child: object, index) => [`${name}[${index}].`, child])
        : [[`${name}.`, value]];
      for (const [where, child] of children) {
        const missing = missingField(nested, child, where);
        if (missing !== undefined) {
          return missing;
        }
      }
    }
  }
  return undefined;
}

function isRequired(field: protobuf.Field): boolean {
  return field.getOption("(google.api.field_behavior)") === "REQUIRED";
}

function isEmpty(value: unknown): boolean {
  const sized = typeof value === "string" || Array.isArray(value) || value instanceof Uint8Array;
  return value === null || value === undefined || (sized && value.length === 0);
}
