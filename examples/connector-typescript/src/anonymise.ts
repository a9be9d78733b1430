// ANONYMISE: a record stays, its personal fields become null or a constant.
import { invalid } from "./errors.js";
import type { CollectionInstruction__Output as Instruction } from "./gen/dsr/connector/v1/CollectionInstruction.js";
import type { Declared } from "./shop.js";
import { checkFields } from "./source.js";
import type { StoredRecord, Value } from "./store.js";

// FIELD_INVALID for what can't be done to this collection, before anything is done to anybody.
export function checkAnonymise(declared: Declared, instruction: Instruction, path: string): void {
  if (instruction.action !== "ACTION_ANONYMISE") {
    return;
  }
  const fields = instruction.anonymise.map(({ field }) => field);
  if (fields.length === 0) {
    throw invalid(`${path}.anonymise`, "no field is named, so nothing would be anonymised");
  }
  checkFields(declared, fields, `${path}.anonymise`);
  instruction.anonymise.forEach((rule, index) => {
    const field = declared.fields.find(({ name }) => name === rule.field);
    const where = `${path}.anonymise[${index}]`;
    if (declared.primaryKey.some((name) => name === rule.field)) {
      throw invalid(`${where}.field`, "it is the record's key");
    }
    const value = replacement(rule, `${where}.constant`);
    if (value === null ? field?.nullable !== true : typeof value !== jsonType(field?.type)) {
      throw invalid(`${where}.constant`, "the field can't have this value");
    }
  });
}

export function anonymised(record: StoredRecord, { anonymise }: Instruction): StoredRecord {
  return { ...record, ...Object.fromEntries(anonymise.map((rule) => [rule.field, replacement(rule, "constant")])) };
}

// Whether nothing of the person is left in the fields that were to be emptied.
export function isAnonymised(record: StoredRecord, { anonymise }: Instruction): boolean {
  return anonymise.every((rule) => {
    const wanted = JSON.stringify(replacement(rule, "constant"));
    return JSON.stringify(record[rule.field] ?? null) === wanted;
  });
}

function replacement({ constant }: Instruction["anonymise"][number], path: string): Value {
  try {
    return constant === undefined ? null : (JSON.parse(constant) as Value);
  } catch {
    throw invalid(path, "it is not JSON");
  }
}

function jsonType(type: string | undefined): string {
  return { number: "number", integer: "number", boolean: "boolean" }[type ?? ""] ?? "string";
}
