// Files that somebody else replaces while this process runs: keys, and the store itself.
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

// The parsed content of a file, read again when the file was replaced or written.
export class WatchedFile<T> {
  #stamp = "";
  #content: T | undefined;

  constructor(
    readonly path: string,
    private readonly parse: (text: string) => T,
  ) {}

  read(): T {
    const { mtimeNs, ino, size } = statSync(this.path, { bigint: true });
    const stamp = `${mtimeNs} ${ino} ${size}`;
    if (this.#content === undefined || stamp !== this.#stamp) {
      this.#content = this.parse(readFileSync(this.path, "utf8"));
      this.#stamp = stamp;
    }
    return this.#content;
  }
}

// Replaces a file wholly or not at all, and durably: after a power cut there is the old content or the new.
export function replaceFile(path: string, text: string): void {
  const temporary = `${path}.new`;
  const file = openSync(temporary, "w", 0o600);
  try {
    writeFileSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
  const folder = openSync(dirname(path), "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
