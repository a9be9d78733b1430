// The backend: one JSON file with the shop's records and, beside them, the journal of erasures.
//
// Every change replaces the whole file, so that an erasure and its journal entry are there together or not at all: that is
// what makes this source ATOMIC. With a database, write the journal into a table within the erasure's transaction. Where there
// are no transactions, write what you are about to do first, durably; then do it; then write what came of it.
import { DsrError } from "./errors.js";
import { replaceFile, WatchedFile } from "./files.js";

export type Value = string | number | boolean | null | Value[] | { [name: string]: Value };
export type StoredRecord = Readonly<Record<string, Value>>;
export type Collections = Readonly<Record<string, readonly StoredRecord[]>>;

// What was done to one person, so that the same task again is answered and not repeated. No personal data.
export interface JournalEntry {
  readonly subjectRef: string;
  readonly time: string;
  readonly outcomes: readonly { collection: string; deleted: number; anonymised: number; retained: number }[];
}

export interface JournalTask {
  readonly task: string;
  // The highest attempt seen.
  readonly attempt: number;
  readonly people: readonly JournalEntry[];
}

export interface Content {
  readonly collections: Collections;
  readonly journal: readonly JournalTask[];
}

// The store at one instant. Nothing in it ever changes, so that an export can go on reading while somebody is erased.
export class Snapshot {
  readonly #indexes = new Map<string, Map<string, StoredRecord[]>>();

  constructor(readonly content: Content) {}

  records(collection: string): readonly StoredRecord[] {
    return this.content.collections[collection] ?? [];
  }

  // Records whose field is equal to the value, by an index that is made at first use: a thousand people cost one pass.
  lookup(collection: string, field: string, value: string, form: (value: string) => string): readonly StoredRecord[] {
    const name = `${collection} ${field} ${form.name}`;
    let index = this.#indexes.get(name);
    if (index === undefined) {
      index = new Map();
      for (const record of this.records(collection)) {
        const found = text(record[field]);
        if (found !== undefined) {
          const key = form(found);
          const same = index.get(key);
          same === undefined ? index.set(key, [record]) : same.push(record);
        }
      }
      this.#indexes.set(name, index);
    }
    return index.get(form(value)) ?? [];
  }
}

// A value as identities and keys are compared; undefined for what names nobody.
export function text(value: Value | undefined): string | undefined {
  return (typeof value === "string" && value !== "") || typeof value === "number" ? String(value) : undefined;
}

export class Store {
  readonly #file: WatchedFile<Snapshot>;

  // `source` is the data source's name, for errors.
  constructor(
    private readonly source: string,
    readonly path: string,
  ) {
    this.#file = new WatchedFile(path, (json) => new Snapshot(parse(json)));
  }

  read(): Snapshot {
    return this.#translated(() => this.#file.read());
  }

  // Reads, changes and writes without letting anything else run in between: this process is the file's only writer.
  // `change` returns the new content, or undefined to leave the file alone.
  transaction<T>(change: (snapshot: Snapshot) => { content?: Content | undefined; result: T }): T {
    return this.#translated(() => {
      const { content, result } = change(this.#file.read());
      if (content !== undefined) {
        replaceFile(this.path, JSON.stringify(content, undefined, 1));
      }
      return result;
    });
  }

  // A store that isn't there is unavailable, and never the same as one without records.
  #translated<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      if (error instanceof DsrError || typeof code !== "string") {
        throw error;
      }
      const metadata = { source: this.source, why: code };
      if (code === "EACCES" || code === "EPERM" || code === "EROFS") {
        throw new DsrError("SOURCE_REJECTED", "The store may not be read or written.", metadata);
      }
      throw new DsrError("SOURCE_UNAVAILABLE", "The store can't be reached.", metadata);
    }
  }
}

function parse(json: string): Content {
  let content: unknown;
  try {
    content = JSON.parse(json);
  } catch {
    throw inconsistent(); // not the parser's own text: it quotes the file
  }
  const { collections, journal = [] } = isObject(content) ? content : {};
  const sound =
    isObject(collections) &&
    Object.values(collections).every((records) => Array.isArray(records) && records.every(isObject)) &&
    Array.isArray(journal);
  if (!sound) {
    throw inconsistent();
  }
  return { collections: collections as Collections, journal: journal as JournalTask[] };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function inconsistent(): DsrError {
  return new DsrError("SOURCE_INCONSISTENT", "The store is not the JSON that it should be.", { why: "UNREADABLE" });
}
