// One data source of the configuration, with all that its six calls need.
import type { SourceConfig } from "./config.js";
import { invalid } from "./errors.js";
import type { CollectionInstruction__Output as Instruction } from "./gen/dsr/connector/v1/CollectionInstruction.js";
import { SHOP, type Declared } from "./shop.js";
import { Store } from "./store.js";

export class Source {
  readonly store: Store;
  readonly collections = SHOP;

  constructor(readonly config: SourceConfig) {
    this.store = new Store(config.name, config.store);
  }

  // The collection that an instruction is about. FIELD_INVALID for one that isn't declared: the data map is out of date.
  collection(name: string, path: string): Declared {
    const found = this.collections.find((collection) => collection.name === name);
    if (found === undefined) {
      throw invalid(`${path}.collection`, "this source has no such collection; compare the data map with Describe");
    }
    return found;
  }

  // Each instruction with its collection.
  instructed(instructions: readonly Instruction[], path: string): { declared: Declared; instruction: Instruction }[] {
    return instructions.map((instruction, index) => ({
      declared: this.collection(instruction.collection, `${path}[${index}]`),
      instruction,
    }));
  }
}

export function checkFields(declared: Declared, fields: readonly string[], path: string): void {
  fields.forEach((name, index) => {
    if (!declared.fields.some((field) => field.name === name)) {
      throw invalid(`${path}[${index}]`, "the collection has no such field; compare the data map with Describe");
    }
  });
}
