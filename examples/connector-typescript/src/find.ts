// Which records are a person's, and what their state is.
import { createHmac } from "node:crypto";

import type { Subject__Output as Subject } from "./gen/dsr/connector/v1/Subject.js";
import type { CollectionCount } from "./gen/dsr/connector/v1/CollectionCount.js";
import type { Declared } from "./shop.js";
import { text, type Snapshot, type StoredRecord, type Value } from "./store.js";

// Collection by collection, each record with the fields that led to it.
export class Found {
  readonly collections = new Map<string, Map<StoredRecord, Set<string>>>();

  constructor(private readonly subject: Subject) {}

  records(collection: string): StoredRecord[] {
    return [...(this.collections.get(collection)?.keys() ?? [])];
  }

  // Whether the record is new. Where the controller said which people are the subject, no others are.
  add(declared: Declared, record: StoredRecord, field: string): boolean {
    const choice = declared.people && this.subject.people.find((one) => one.collection === declared.name);
    if (choice && !choice.people.includes(personKey(declared, record))) {
      return false;
    }
    const records = this.collections.get(declared.name) ?? new Map<StoredRecord, Set<string>>();
    this.collections.set(declared.name, records);
    const fields = records.get(record);
    records.set(record, (fields ?? new Set()).add(field));
    return fields === undefined;
  }
}

// Every record that holds one of the subject's identities, and every record that refers to such a record. `found` may hold
// records already, to start from as well.
export function find(collections: readonly Declared[], snapshot: Snapshot, subject: Subject, found = new Found(subject)): Found {
  for (const declared of collections) {
    for (const { field, type, match } of declared.identityFields) {
      for (const identity of subject.identities.filter((one) => one.type === type)) {
        for (const record of snapshot.lookup(declared.name, field, identity.value, FORMS[match])) {
          found.add(declared, record, field);
        }
      }
    }
  }
  return follow(collections, snapshot, found);
}

function follow(collections: readonly Declared[], snapshot: Snapshot, found: Found): Found {
  const open = collections.flatMap((declared) => found.records(declared.name).map((record) => ({ declared, record })));
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { declared: target, record } = next;
    for (const declared of collections) {
      for (const reference of declared.references.filter((one) => one.target === target.name)) {
        const value = text(record[reference.targetFields[0]]);
        if (value !== undefined) {
          for (const referring of snapshot.lookup(declared.name, reference.fields[0], value, exact)) {
            if (found.add(declared, referring, reference.fields[0])) {
              open.push({ declared, record: referring });
            }
          }
        }
      }
    }
  }
  return found;
}

// The state of what was found, as Locate tells it and Erase compares it.
export function counts(collections: readonly Declared[], found: Found, key: Buffer): Required<CollectionCountOf>[] {
  return collections
    .map((declared) => ({ collection: declared.name, records: found.records(declared.name) }))
    .filter(({ records }) => records.length > 0)
    .map(({ collection, records }) => ({
      collection,
      records: records.length,
      fingerprint: fingerprint(key, collection, records),
    }));
}

type CollectionCountOf = CollectionCount & { collection: string; records: number; fingerprint: Buffer };

// Equal as long as the same records have the same content, in whatever order they stand. Keyed: without the source's key
// nobody can try out which records it might be of.
function fingerprint(key: Buffer, collection: string, records: readonly StoredRecord[]): Buffer {
  const lines = records.map((record) => JSON.stringify(Object.entries(record).sort(byName))).sort();
  return createHmac("sha256", key).update(JSON.stringify([collection, ...lines])).digest();
}

function byName([one]: [string, Value], [other]: [string, Value]): number {
  return one < other ? -1 : 1;
}

// `Person.person`: the record's key as a JSON array.
export function personKey(declared: Declared, record: StoredRecord): string {
  return JSON.stringify(declared.primaryKey.map((name) => record[name] ?? null));
}

// The form in which values are compared, by matching rule.
export const FORMS = { MATCH_EXACT: exact, MATCH_CASE_FOLD: caseFold } as const;

export function exact(value: string): string {
  return value;
}

// Upper case first, because ß and SS are equal but for case.
function caseFold(value: string): string {
  return value.toUpperCase().toLowerCase();
}
