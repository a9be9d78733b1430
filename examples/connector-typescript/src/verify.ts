// Verify: what is left of a person, looked for by identities and anchors and never by what the erasure removed.
import { checkAnonymise, isAnonymised } from "./anonymise.js";
import { invalid } from "./errors.js";
import { exact, find, FORMS, Found } from "./find.js";
import type { Anchors__Output as Anchors } from "./gen/dsr/connector/v1/Anchors.js";
import type { CollectionInstruction__Output as Instruction } from "./gen/dsr/connector/v1/CollectionInstruction.js";
import type { Subject__Output as Subject } from "./gen/dsr/connector/v1/Subject.js";
import type { VerifyResponse } from "./gen/dsr/connector/v1/VerifyResponse.js";
import type { Declared } from "./shop.js";
import type { Source } from "./source.js";
import type { Snapshot, StoredRecord } from "./store.js";

export interface VerifyWork {
  subject: Subject;
  anchors: readonly Anchors[];
}

export function* verify(source: Source, work: readonly VerifyWork[], instructions: readonly Instruction[]): Generator<VerifyResponse> {
  source.instructed(instructions, "instructions").forEach(({ declared, instruction }, index) => {
    checkAnonymise(declared, instruction, `instructions[${index}]`);
  });
  const snapshot = source.store.read();
  for (const [position, { subject, anchors }] of work.entries()) {
    const found = new Found(subject);
    anchors.forEach((one, index) => addAnchored(source, snapshot, found, one, `subjects[${position}].anchors[${index}]`));
    find(source.collections, snapshot, subject, found);
    const remnants = source.collections.flatMap(({ name }) => {
      const records = found.collections.get(name) ?? new Map<StoredRecord, Set<string>>();
      const instruction = instructions.find(({ collection }) => collection === name);
      const unexplained = [...records.keys()].filter((record) => !isExplained(record, instruction));
      const fields = [...new Set(unexplained.flatMap((record) => [...(records.get(record) ?? [])]))].sort();
      const explained = records.size - unexplained.length;
      return records.size === 0 ? [] : [{ collection: name, explained, unexplained: unexplained.length, fields }];
    });
    yield { verified: { subjectRef: subject.subjectRef, remnants } };
  }
}

function isExplained(record: StoredRecord, instruction: Instruction | undefined): boolean {
  return (
    instruction?.action === "ACTION_RETAIN" ||
    (instruction?.action === "ACTION_ANONYMISE" && isAnonymised(record, instruction))
  );
}

// An anchor is looked for where it came from, in every field that refers there, and in every identity field of its type.
function addAnchored(source: Source, snapshot: Snapshot, found: Found, anchors: Anchors, path: string): void {
  const origin = source.collection(anchors.collection, path);
  const [field, ...more] = anchors.fields;
  if (field === undefined || more.length > 0 || !origin.fields.some(({ name }) => name === field)) {
    throw invalid(`${path}.fields`, "Locate of this source names one field of the collection");
  }
  const values = anchors.values.map((json, index) => anchored(json, `${path}.values[${index}]`));
  for (const place of places(source.collections, origin, field)) {
    for (const value of values) {
      for (const record of snapshot.lookup(place.declared.name, place.field, value, place.form)) {
        found.add(place.declared, record, place.field);
      }
    }
  }
}

type Place = { declared: Declared; field: string; form: (value: string) => string };

function places(collections: readonly Declared[], origin: Declared, field: string): Place[] {
  const type = origin.identityFields.find((identity) => identity.field === field)?.type;
  return [
    { declared: origin, field, form: exact },
    ...collections.flatMap((declared) => [
      ...declared.references
        .filter(({ target, targetFields }) => target === origin.name && targetFields[0] === field)
        .map(({ fields }) => ({ declared, field: fields[0], form: exact })),
      ...declared.identityFields
        .filter((identity) => identity.type === type)
        .map((identity) => ({ declared, field: identity.field, form: FORMS[identity.match] })),
    ]),
  ];
}

function anchored(json: string, path: string): string {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw invalid(path, "it is not JSON");
  }
  if (!Array.isArray(value) || value.length !== 1 || typeof value[0] !== "string") {
    throw invalid(path, "it is not an array of one string");
  }
  return value[0];
}
