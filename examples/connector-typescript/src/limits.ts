// What a call may hold at most, checked before anything is looked for.
import { invalid, required } from "./errors.js";
import type { EraseSubject__Output as EraseSubject } from "./gen/dsr/connector/v1/EraseSubject.js";
import type { Subject__Output as Subject } from "./gen/dsr/connector/v1/Subject.js";

const MAX_SUBJECTS = 1_000;
const MAX_IDENTITIES = 100;
const MAX_REFERENCE_LENGTH = 128;
const MAX_VALUE_LENGTH = 1_024;

export function checkSubjects(subjects: readonly (Subject | null)[], path: (index: number) => string): Subject[] {
  if (subjects.length > MAX_SUBJECTS) {
    throw invalid("subjects", `there are more than ${MAX_SUBJECTS}; send the rest in another call`);
  }
  const checked = subjects.map((subject, index) => checkSubject(subject, path(index)));
  checkUnique(checked.map((subject, index) => [`${path(index)}.subject_ref`, subject.subjectRef]));
  return checked;
}

export function checkSubject(subject: Subject | null, path: string): Subject {
  if (subject === null) {
    throw required(path);
  }
  if ([...subject.subjectRef].length > MAX_REFERENCE_LENGTH) {
    throw invalid(`${path}.subject_ref`, `it is longer than ${MAX_REFERENCE_LENGTH} characters`);
  }
  if (subject.identities.length > MAX_IDENTITIES) {
    throw invalid(`${path}.identities`, `there are more than ${MAX_IDENTITIES}`);
  }
  subject.identities.forEach(({ type, value }, index) => {
    if (!/^[a-z0-9_]{1,63}$/.test(type)) {
      throw invalid(`${path}.identities[${index}].type`, "1 to 63 lower-case letters, digits and underscores");
    }
    if ([...value].length > MAX_VALUE_LENGTH) {
      throw invalid(`${path}.identities[${index}].value`, `it is longer than ${MAX_VALUE_LENGTH} characters`);
    }
  });
  checkUnique(subject.people.map(({ collection }, index) => [`${path}.people[${index}].collection`, collection]));
  return subject;
}

export function checkExpected(subjects: readonly EraseSubject[]): void {
  subjects.forEach(({ expected }, index) => {
    const path = (position: number): string => `subjects[${index}].expected[${position}]`;
    checkUnique(expected.map(({ collection }, position) => [`${path(position)}.collection`, collection]));
  });
}

// FIELD_INVALID for the first value that stands twice.
export function checkUnique(values: readonly (readonly [path: string, value: string])[]): void {
  const seen = new Set<string>();
  for (const [path, value] of values) {
    if (seen.has(value)) {
      throw invalid(path, "it stands twice");
    }
    seen.add(value);
  }
}
