// The six calls: what the contract demands of each before the store is looked at.
import { Attempts } from "./attempts.js";
import { describe, probe } from "./describe.js";
import { erase } from "./erase.js";
import { DsrError, required } from "./errors.js";
import { exportPerson } from "./export.js";
import type { DescribeRequest__Output as DescribeRequest } from "./gen/dsr/connector/v1/DescribeRequest.js";
import type { EraseRequest__Output as EraseRequest } from "./gen/dsr/connector/v1/EraseRequest.js";
import type { ExportRequest__Output as ExportRequest } from "./gen/dsr/connector/v1/ExportRequest.js";
import type { Grant__Output as Grant } from "./gen/dsr/connector/v1/Grant.js";
import type { LocateRequest__Output as LocateRequest } from "./gen/dsr/connector/v1/LocateRequest.js";
import type { Sandbox__Output as Sandbox } from "./gen/dsr/connector/v1/Sandbox.js";
import type { SignedGrant__Output as SignedGrant } from "./gen/dsr/connector/v1/SignedGrant.js";
import type { VerifyRequest__Output as VerifyRequest } from "./gen/dsr/connector/v1/VerifyRequest.js";
import type { Grants } from "./grants.js";
import { checkExpected, checkSubject, checkSubjects, checkUnique } from "./limits.js";
import { locate } from "./locate.js";
import type { Source } from "./source.js";
import { verify } from "./verify.js";

export interface Call {
  // The source that the token speaks to.
  audience: string;
  // Aborted, with the error to answer, when the call has to end early.
  stop: AbortController;
}

// This connector's people are real: a call for a sandbox is at the wrong door.
function checkLive(source: string, sandbox: Sandbox | null): void {
  if (sandbox !== null) {
    throw new DsrError("SANDBOX_MISMATCH", "The call is for a sandbox, and the data source is live.", { source, expected: "live" });
  }
}

type Answers = Iterable<object> | AsyncIterable<object>;

export class Connector {
  readonly #attempts = new Attempts();
  readonly #sources: ReadonlyMap<string, Source>;

  constructor(
    sources: readonly Source[],
    private readonly grants: Grants,
  ) {
    this.#sources = new Map(sources.map((source) => [source.config.name, source]));
  }

  Describe({ source }: DescribeRequest, call: Call): Answers {
    return describe(this.#source(source, call));
  }

  Probe({ source }: DescribeRequest, call: Call): Answers {
    return probe(this.#source(source, call));
  }

  Locate({ source, subjects, withAnchors, sandbox }: LocateRequest, call: Call): Answers {
    const found = this.#source(source, call);
    const checked = checkSubjects(subjects, (index) => `subjects[${index}]`);
    checkLive(source, sandbox);
    return locate(found, checked, withAnchors);
  }

  Export({ grant: signed, subject: named, cursor }: ExportRequest, call: Call): Answers {
    const source = this.#source(call.audience, call);
    const grant = this.#grant(signed, call.audience, "OPERATION_EXPORT");
    if (cursor !== "") {
      throw new DsrError("METHOD_UNKNOWN", "This connector doesn't declare EXPORT_RESUME.");
    }
    const subject = checkSubject(named, "subject");
    const work = (): Iterable<object> => exportPerson(source, subject, grant.instructions);
    return this.#attempts.run(`export ${call.audience} ${grant.task}`, grant.attempt, call.stop, work);
  }

  Erase({ grant: signed, subjects }: EraseRequest, call: Call): Answers {
    const source = this.#source(call.audience, call);
    const grant = this.#grant(signed, call.audience, "OPERATION_ERASE");
    const named = subjects.map(({ subject }) => subject);
    const checked = checkSubjects(named, (index) => `subjects[${index}].subject`);
    checkExpected(subjects);
    const people = subjects.map(({ expected }, index) => ({ subject: checked[index]!, expected }));
    const work = (): Iterable<object> => erase(source, people, grant);
    return this.#attempts.run(`erase ${call.audience} ${grant.task}`, grant.attempt, call.stop, work);
  }

  Verify({ source, subjects, instructions, sandbox }: VerifyRequest, call: Call): Answers {
    const found = this.#source(source, call);
    const named = subjects.map(({ subject }) => subject);
    const checked = checkSubjects(named, (index) => `subjects[${index}].subject`);
    checkUnique(instructions.map(({ collection }, index) => [`instructions[${index}].collection`, collection]));
    checkLive(source, sandbox);
    const people = subjects.map(({ anchors }, index) => ({ subject: checked[index]!, anchors }));
    return verify(found, people, instructions);
  }

  // For a token, every source but its own doesn't exist: foreign and absent ones are answered alike.
  #source(name: string, { audience }: Call): Source {
    const source = this.#sources.get(name);
    if (source === undefined || name !== audience) {
      throw new DsrError("NOT_FOUND", "There is no such data source.", { resource_type: "data source" });
    }
    return source;
  }

  #grant(signed: SignedGrant | null, source: string, operation: Grant["operation"]): Grant {
    if (signed === null) {
      throw required("grant");
    }
    const grant = this.grants.verify(signed, source, operation, Date.now());
    checkUnique(grant.instructions.map(({ collection }, index) => [`grant.instructions[${index}].collection`, collection]));
    return grant;
  }
}
