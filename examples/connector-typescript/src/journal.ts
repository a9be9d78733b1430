// The journal of erasures: which attempts were seen, and what was done. It is part of the store's content, so that it is written
// together with the erasure it tells of.
import { superseded } from "./errors.js";
import type { Grant__Output as Grant } from "./gen/dsr/connector/v1/Grant.js";
import type { Content, JournalEntry } from "./store.js";

// The content with this attempt remembered; undefined if it is already. ATTEMPT_SUPERSEDED if a newer one is.
export function claim(content: Content, { task, attempt }: Grant): Content | undefined {
  const known = content.journal.find((one) => one.task === task);
  if (known !== undefined && known.attempt >= attempt) {
    if (known.attempt > attempt) {
      throw superseded();
    }
    return undefined;
  }
  const others = content.journal.filter((one) => one !== known);
  return { ...content, journal: [...others, { task, attempt, people: known?.people ?? [] }] };
}

// The highest attempt of the task, and what it did to the person, if anything.
export function outcomeOf(content: Content, task: string, subjectRef: string): { attempt: number; before: JournalEntry | undefined } {
  const known = content.journal.find((one) => one.task === task);
  return { attempt: known?.attempt ?? 0, before: known?.people.find((one) => one.subjectRef === subjectRef) };
}

// The content with an outcome added to a task that was claimed.
export function noted(content: Content, task: string, entry: JournalEntry): Content {
  const journal = content.journal.map((one) => (one.task === task ? { ...one, people: [...one.people, entry] } : one));
  return { ...content, journal };
}

// When people were erased since an instant (milliseconds since 1970). Those of whom nothing was there don't count.
export function touchedPeople(content: Content, since: number): number[] {
  return content.journal
    .flatMap(({ people }) => people)
    .filter(({ outcomes }) => outcomes.some(({ deleted, anonymised }) => deleted + anonymised > 0))
    .map(({ time }) => Date.parse(time))
    .filter((time) => time > since);
}
