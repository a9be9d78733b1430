// Export: one person's records as of one instant, as JSON Lines.
import { createHash } from "node:crypto";

import { invalid } from "./errors.js";
import { find } from "./find.js";
import type { CollectionInstruction__Output as Instruction } from "./gen/dsr/connector/v1/CollectionInstruction.js";
import type { ExportResponse } from "./gen/dsr/connector/v1/ExportResponse.js";
import type { Subject__Output as Subject } from "./gen/dsr/connector/v1/Subject.js";
import type { Declared } from "./shop.js";
import { checkFields, type Source } from "./source.js";
import type { StoredRecord } from "./store.js";

// Bytes of a data message; the contract allows 1 MiB.
const DATA_BYTES = 256 * 1024;

export function* exportPerson(source: Source, subject: Subject, instructions: readonly Instruction[]): Generator<ExportResponse> {
  const instructed = source.instructed(instructions, "grant.instructions");
  instructed.forEach(({ declared, instruction }, index) => {
    const path = `grant.instructions[${index}]`;
    checkFields(declared, instruction.redactFields, `${path}.redact_fields`);
    checkFields(declared, instruction.includeFields, `${path}.include_fields`);
    if (shown(declared, instruction).length === 0) {
      throw invalid(`${path}.redact_fields`, "no field is left; leave the collection out of the grant instead");
    }
  });
  const time = Date.now();
  const found = find(source.collections, source.store.read(), subject);
  const totals = { collections: 0, records: 0, bytes: 0 };
  for (const { declared, instruction } of instructed) {
    const fields = shown(declared, instruction);
    const names = fields.map(({ name }) => name);
    yield {
      header: {
        collection: declared.name,
        fields,
        primaryKey: declared.primaryKey.filter((name) => names.includes(name)),
        withheldFields: instruction.redactFields,
      },
    };
    const records = found.records(declared.name);
    const digest = createHash("sha256");
    let bytes = 0;
    for (const data of chunks(lines(records, names))) {
      digest.update(data);
      bytes += data.length;
      yield { data };
    }
    yield { trailer: { records: records.length, bytes, sha256: digest.digest() } };
    totals.collections += 1;
    totals.records += records.length;
    totals.bytes += bytes;
  }
  const snapshotTime = { seconds: Math.floor(time / 1000), nanos: (time % 1000) * 1e6 };
  yield { totals: { ...totals, snapshotTime } };
}

// The fields that the instruction leaves.
function shown(declared: Declared, { includeFields, redactFields }: Instruction): Declared["fields"] {
  const included = declared.fields.filter(({ name }) => includeFields.length === 0 || includeFields.includes(name));
  return included.filter(({ name }) => !redactFields.includes(name));
}

function* lines(records: readonly StoredRecord[], names: readonly string[]): Generator<Buffer> {
  for (const record of records) {
    yield Buffer.from(`${JSON.stringify(Object.fromEntries(names.map((name) => [name, record[name] ?? null])))}\n`);
  }
}

// The same bytes in pieces of `DATA_BYTES`, cut anywhere.
function* chunks(lines: Iterable<Buffer>): Generator<Buffer> {
  let waiting: Buffer[] = [];
  let size = 0;
  for (const line of lines) {
    waiting.push(line);
    size += line.length;
    if (size >= DATA_BYTES) {
      const whole = Buffer.concat(waiting);
      const end = size - (size % DATA_BYTES);
      for (let start = 0; start < end; start += DATA_BYTES) {
        yield whole.subarray(start, start + DATA_BYTES);
      }
      waiting = [whole.subarray(end)];
      size -= end;
    }
  }
  if (size > 0) {
    yield Buffer.concat(waiting);
  }
}
