// Erase: each person wholly or not at all, once per task.
import { anonymised, checkAnonymise } from "./anonymise.js";
import { DsrError, superseded } from "./errors.js";
import { counts, find, type Found } from "./find.js";
import type { CollectionInstruction__Output as Instruction } from "./gen/dsr/connector/v1/CollectionInstruction.js";
import type { EraseResponse } from "./gen/dsr/connector/v1/EraseResponse.js";
import type { Erased } from "./gen/dsr/connector/v1/Erased.js";
import type { EraseSubject__Output as EraseSubject } from "./gen/dsr/connector/v1/EraseSubject.js";
import type { Grant__Output as Grant } from "./gen/dsr/connector/v1/Grant.js";
import type { Subject__Output as Subject } from "./gen/dsr/connector/v1/Subject.js";
import { claim, noted, outcomeOf, touchedPeople } from "./journal.js";
import type { Source } from "./source.js";
import type { Content, JournalEntry, Snapshot } from "./store.js";

const DAY_MS = 24 * 3_600_000;

type Step = { content?: Content; result: Erased };

export interface EraseWork {
  subject: Subject;
  expected: EraseSubject["expected"];
}

export function* erase(source: Source, work: readonly EraseWork[], grant: Grant): Generator<EraseResponse> {
  source.instructed(grant.instructions, "grant.instructions").forEach(({ declared, instruction }, index) => {
    checkAnonymise(declared, instruction, `grant.instructions[${index}]`);
  });
  // Durable before the first record is touched, so that an older attempt is refused after a restart as well.
  source.store.transaction(({ content }) => ({ content: claim(content, grant), result: undefined }));
  for (const one of work) {
    yield { erased: source.store.transaction((snapshot) => eraseOne(source, snapshot, one, grant)) };
  }
}

// Everything about one person happens here, without an `await`: nothing can come between looking and changing.
function eraseOne(source: Source, snapshot: Snapshot, { subject, expected }: EraseWork, grant: Grant): Step {
  const { subjectRef } = subject;
  const { attempt, before } = outcomeOf(snapshot.content, grant.task, subjectRef);
  if (attempt > grant.attempt) {
    throw superseded();
  }
  if (before !== undefined) {
    return { result: { subjectRef, outcome: "OUTCOME_REPLAYED", collections: [...before.outcomes] } };
  }
  const found = find(source.collections, snapshot, subject);
  if (!sameAsExpected(counts(source.collections, found, source.config.fingerprintKey), expected)) {
    return { result: { subjectRef, outcome: "OUTCOME_CHANGED" } };
  }
  const concerned = grant.instructions.filter(({ collection }) => found.records(collection).length > 0);
  const undecided = concerned.filter(({ action }) => action === "ACTION_UNSPECIFIED");
  if (undecided.length > 0) {
    const detail = "The grant doesn't say what to do with these records: decide in the data map.";
    const findings = undecided.map(({ collection }) => ({ code: "UNDECIDED_ACTION", collection, detail, blocksErasure: true }));
    return { result: { subjectRef, outcome: "OUTCOME_BLOCKED", findings } };
  }
  const touched = concerned.filter(({ action }) => action !== "ACTION_RETAIN");
  const total = touched.reduce((sum, { collection }) => sum + found.records(collection).length, 0);
  const exceeded = touched.some(({ collection, cap }) => found.records(collection).length > cap);
  if (exceeded || total > source.config.maxRecordsPerSubject) {
    return { result: { subjectRef, outcome: "OUTCOME_CAP_EXCEEDED" } };
  }
  if (total > 0) {
    checkDailyCap(source, snapshot.content);
  }
  const collections = { ...snapshot.content.collections };
  for (const instruction of touched) {
    collections[instruction.collection] = treated(snapshot, found, instruction);
  }
  const entry: JournalEntry = {
    subjectRef,
    time: new Date().toISOString(),
    outcomes: concerned.map(({ collection, action }) => {
      const number = found.records(collection).length;
      const of = (wanted: Instruction["action"]): number => (action === wanted ? number : 0);
      return { collection, deleted: of("ACTION_DELETE"), anonymised: of("ACTION_ANONYMISE"), retained: of("ACTION_RETAIN") };
    }),
  };
  return {
    content: noted({ ...snapshot.content, collections }, grant.task, entry),
    result: { subjectRef, outcome: "OUTCOME_ERASED", collections: [...entry.outcomes] },
  };
}

// In every collection, also where the grant doesn't name it: what isn't expected must not be there.
function sameAsExpected(now: ReturnType<typeof counts>, expected: EraseWork["expected"]): boolean {
  const wanted = expected.filter(({ records }) => records !== 0);
  return (
    wanted.length === now.length &&
    wanted.every(({ collection, records, fingerprint }) =>
      now.some((one) => one.collection === collection && one.records === records && one.fingerprint.equals(fingerprint)),
    )
  );
}

// The collection without the person's records, or with them anonymised. Everybody else's stay the very same.
function treated(snapshot: Snapshot, found: Found, instruction: Instruction): Content["collections"][string] {
  const mine = new Set(found.records(instruction.collection));
  const all = snapshot.records(instruction.collection);
  return instruction.action === "ACTION_DELETE"
    ? all.filter((record) => !mine.has(record))
    : all.map((record) => (mine.has(record) ? anonymised(record, instruction) : record));
}

// A cap of this connector's own: whoever could sign grants for everybody would still erase only so many people a day.
function checkDailyCap(source: Source, content: Content): void {
  const { maxPeoplePerDay } = source.config;
  const times = touchedPeople(content, Date.now() - DAY_MS);
  if (times.length >= maxPeoplePerDay) {
    const free = Math.min(...times) + DAY_MS - Date.now();
    const message = `This connector erases at most ${maxPeoplePerDay} people in 24 hours.`;
    throw new DsrError("RATE_LIMITED", message, { limit: String(maxPeoplePerDay) }, Math.max(1, Math.ceil(free / 1000)));
  }
}
