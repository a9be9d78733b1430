// What the store holds, and what of it is whose. A shop of your own begins by rewriting this file.
import type { Collection } from "./gen/dsr/connector/v1/Collection.js";
import type { Field } from "./gen/dsr/connector/v1/Field.js";

// The contract's own message, with the parts filled in that the rest of the program relies on.
export interface Declared extends Collection {
  name: string;
  fields: DeclaredField[];
  primaryKey: [string];
  identityFields: { field: string; type: string; match: "MATCH_EXACT" | "MATCH_CASE_FOLD"; unique: boolean }[];
  references: {
    name: string;
    fields: [string];
    target: string;
    targetFields: [string];
    ownership: "OWNERSHIP_OWNED";
    reason: string;
  }[];
  people: boolean;
  noPersonalData: boolean;
}

interface DeclaredField extends Field {
  name: string;
  type: "string" | "number" | "integer" | "boolean" | "datetime";
  nullable: boolean;
}

const needed = (name: string, type: DeclaredField["type"] = "string"): DeclaredField => ({ name, type, nullable: false });
const optional = (name: string): DeclaredField => ({ name, type: "string", nullable: true });

export const SHOP: readonly Declared[] = [
  {
    name: "customers",
    fields: [needed("id"), optional("customer_number"), optional("email"), optional("name"), needed("created", "datetime")],
    primaryKey: ["id"],
    identityFields: [
      { field: "email", type: "email", match: "MATCH_CASE_FOLD", unique: true },
      { field: "customer_number", type: "customer_number", match: "MATCH_EXACT", unique: true },
    ],
    references: [],
    people: true, // a record is a person: two of them for one request are a question to the controller
    noPersonalData: false,
  },
  {
    name: "orders",
    fields: [needed("id"), optional("customer_number"), optional("item"), needed("total", "number"), optional("gift_for")],
    primaryKey: ["id"],
    identityFields: [{ field: "customer_number", type: "customer_number", match: "MATCH_EXACT", unique: false }],
    references: [
      {
        name: "customer",
        fields: ["customer_number"],
        target: "customers",
        targetFields: ["customer_number"],
        ownership: "OWNERSHIP_OWNED", // an order goes with its customer
        reason: "declared",
      },
    ],
    people: false,
    noPersonalData: false,
  },
  {
    name: "newsletter",
    fields: [needed("id"), optional("email"), needed("since", "datetime")],
    primaryKey: ["id"],
    identityFields: [{ field: "email", type: "email", match: "MATCH_CASE_FOLD", unique: true }],
    references: [],
    people: false,
    noPersonalData: false,
  },
  {
    name: "products",
    fields: [needed("id"), needed("name"), needed("price", "number")],
    primaryKey: ["id"],
    identityFields: [],
    references: [],
    people: false,
    noPersonalData: true, // said, so that it isn't taken for forgotten
  },
];
