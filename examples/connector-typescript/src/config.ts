// The configuration file: which sources, where their data and keys are, and how much one call or day may erase.
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";

import { z } from "zod";

const SOURCE_NAME = /^partners\/[A-Za-z0-9][A-Za-z0-9_-]{0,62}\/dataSources\/[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/;
const MIN_KEY_BYTES = 32;

const SourceEntry = z.strictObject({
  store: z.string(),
  fingerprintKey: z.string(),
  maxRecordsPerSubject: z.int().positive(),
  maxPeoplePerDay: z.int().positive(),
  encryptedAtRest: z.boolean().optional(),
});

const ConfigFile = z.strictObject({
  listen: z.string().regex(/^.+:\d+$/, "host:port"),
  trust: z.string(),
  grantKeys: z.string(),
  tls: z.strictObject({ certificate: z.string(), key: z.string(), clientCa: z.string().optional() }).optional(),
  sources: z.record(z.string().regex(SOURCE_NAME, "partners/{partner}/dataSources/{source}"), SourceEntry),
});

export interface SourceConfig {
  name: string;
  store: string;
  fingerprintKey: Buffer;
  // Most records of one person that one Erase touches, whatever the grant says.
  maxRecordsPerSubject: number;
  // Most people erased within 24 hours, whatever the grants say.
  maxPeoplePerDay: number;
  encryptedAtRest: boolean | undefined;
}

export interface Config {
  listen: string;
  loopback: boolean;
  trust: string;
  grantKeys: string;
  tls: { certificate: Buffer; key: Buffer; clientCa: Buffer | null } | undefined;
  sources: SourceConfig[];
}

// Something the operator has to mend; the text names the file and the field.
export class ConfigError extends Error {}

// Reads the file; paths in it are relative to it.
export function loadConfig(path: string): Config {
  const file = ConfigFile.safeParse(parseJson(path));
  if (!file.success) {
    throw new ConfigError(`${path}: ${file.error.issues.map((i) => `${i.path.join(".")}: ${i.message}`).join("; ")}`);
  }
  const { listen, trust, grantKeys, tls, sources } = file.data;
  const at = (name: string): string => resolve(dirname(path), name);
  const loopback = /^(127\.\d+\.\d+\.\d+|\[::1\]|localhost):/.test(listen);
  if (!loopback && tls === undefined) {
    throw new ConfigError(`${path}: tls is required, since ${listen} is not a loopback address`);
  }
  return {
    listen,
    loopback,
    trust: at(trust),
    grantKeys: at(grantKeys),
    tls: tls && {
      certificate: readFile(at(tls.certificate)),
      key: readFile(at(tls.key)),
      clientCa: tls.clientCa === undefined ? null : readFile(at(tls.clientCa)),
    },
    sources: Object.entries(sources).map(([name, entry]) => ({
      ...entry,
      name,
      store: at(entry.store),
      fingerprintKey: readKey(at(entry.fingerprintKey)),
      encryptedAtRest: entry.encryptedAtRest,
    })),
  };
}

function parseJson(path: string): unknown {
  try {
    return JSON.parse(readFile(path).toString("utf8"));
  } catch (error) {
    throw error instanceof ConfigError ? error : new ConfigError(`${path} is not JSON`);
  }
}

function readFile(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new ConfigError(`${path} can't be read (${(error as NodeJS.ErrnoException).code})`);
  }
}

function readKey(path: string): Buffer {
  const key = readFile(path);
  if (key.length < MIN_KEY_BYTES) {
    throw new ConfigError(`${path}: a fingerprint key has at least ${MIN_KEY_BYTES} random bytes`);
  }
  return key;
}
