// At most one attempt of a task runs; a newer one ends an older one, and waits for its end.
import { superseded } from "./errors.js";

interface Running {
  attempt: number;
  stop: AbortController;
  ended: Promise<void>;
}

export class Attempts {
  readonly #running = new Map<string, Running>();

  // Runs the work's stream. `stop` is aborted when a newer attempt comes: whoever reads the stream must give it up then.
  // The same attempt again counts as newer: its first caller has lost the connection, or should have.
  async *run<T>(task: string, attempt: number, stop: AbortController, work: () => Iterable<T>): AsyncGenerator<T> {
    for (let current = this.#running.get(task); current !== undefined; current = this.#running.get(task)) {
      if (current.attempt > attempt) {
        throw superseded();
      }
      current.stop.abort(superseded());
      await current.ended;
    }
    let end = (): void => undefined;
    const ended = new Promise<void>((resolve) => (end = resolve));
    this.#running.set(task, { attempt, stop, ended });
    try {
      yield* work();
    } finally {
      this.#running.delete(task);
      end();
    }
  }
}
