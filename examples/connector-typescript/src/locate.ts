// Locate: what there is of each person, under which other names, and where a remnant of them would show.
import { counts, find, personKey, type Found } from "./find.js";
import type { FoundIdentity } from "./gen/dsr/connector/v1/FoundIdentity.js";
import type { LocateResponse } from "./gen/dsr/connector/v1/LocateResponse.js";
import type { Subject__Output as Subject } from "./gen/dsr/connector/v1/Subject.js";
import type { Declared } from "./shop.js";
import type { Source } from "./source.js";
import { text } from "./store.js";

// Values in one message of anchors, so that it stays far below 16 MiB.
const ANCHORS_PER_MESSAGE = 5_000;

export function* locate(source: Source, subjects: readonly Subject[], withAnchors: boolean): Generator<LocateResponse> {
  const snapshot = source.store.read();
  for (const subject of subjects) {
    const found = find(source.collections, snapshot, subject);
    if (withAnchors) {
      yield* anchors(source.collections, subject.subjectRef, found);
    }
    const people = source.collections.filter((declared) => declared.people);
    yield {
      located: {
        subjectRef: subject.subjectRef,
        collections: counts(source.collections, found, source.config.fingerprintKey),
        identities: source.collections.flatMap((declared) => identities(declared, found)),
        people: people.flatMap((declared) =>
          found.records(declared.name).map((record) => ({ collection: declared.name, person: personKey(declared, record) })),
        ),
      },
    };
  }
}

// Each other name once, however many records it stands in.
function identities(declared: Declared, found: Found): FoundIdentity[] {
  const names = new Map<string, FoundIdentity>();
  for (const record of found.records(declared.name)) {
    for (const { field, type, unique } of declared.identityFields) {
      const value = text(record[field]);
      if (value !== undefined) {
        const person = declared.people ? personKey(declared, record) : "";
        const name = { identity: { type, value }, collection: declared.name, unique, person };
        names.set(JSON.stringify(name), name);
      }
    }
  }
  return [...names.values()];
}

// Keys, fields that other records refer to, and identities that no two people share.
function* anchors(collections: readonly Declared[], subjectRef: string, found: Found): Generator<LocateResponse> {
  for (const declared of collections) {
    const referredTo = collections.flatMap(({ references }) => references.filter(({ target }) => target === declared.name));
    const fields = new Set([
      ...declared.primaryKey,
      ...referredTo.map(({ targetFields }) => targetFields[0]),
      ...declared.identityFields.filter(({ unique }) => unique).map(({ field }) => field),
    ]);
    for (const field of fields) {
      const present = found.records(declared.name).map((record) => text(record[field]));
      const values = [...new Set(present)].filter((value) => value !== undefined).map((value) => JSON.stringify([value]));
      for (let start = 0; start < values.length; start += ANCHORS_PER_MESSAGE) {
        const part = values.slice(start, start + ANCHORS_PER_MESSAGE);
        yield { anchors: { subjectRef, collection: declared.name, fields: [field], values: part } };
      }
    }
  }
}
