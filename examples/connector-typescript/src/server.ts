// Between gRPC and the connector: tokens, REQUIRED fields, one form for every error, streams that don't run ahead of their
// reader, and one line of log per call.
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { setImmediate } from "node:timers/promises";

import {
  Server,
  ServerCredentials,
  status,
  type sendUnaryData,
  type ServerUnaryCall,
  type ServerWritableStream,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";

import type { Config } from "./config.js";
import type { Connector } from "./connector.js";
import { decode, missingField, serviceDefinition } from "./contract.js";
import { DsrError, invalid, required } from "./errors.js";
import type { Tokens } from "./tokens.js";

const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
const DRAIN_MS = 10_000;

type AnyCall = ServerUnaryCall<Buffer, object> | ServerWritableStream<Buffer, object>;
type Method = keyof Connector;

export class ConnectorServer {
  readonly #server = new Server({
    "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
    "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
  });
  readonly #calls = new Set<AbortController>();

  constructor(
    private readonly connector: Connector,
    private readonly tokens: Tokens,
    private readonly log: (line: object) => void,
  ) {
    const definition = serviceDefinition();
    const methods = Object.entries(definition).map(([name, { responseStream }]) => [
      name,
      responseStream ? this.#stream(name as Method) : this.#unary(name as Method),
    ]);
    this.#server.addService(definition, Object.fromEntries(methods) as UntypedServiceImplementation);
  }

  // Returns the port.
  async listen({ listen, tls }: Config): Promise<number> {
    const credentials =
      tls === undefined
        ? ServerCredentials.createInsecure()
        : ServerCredentials.createSsl(
            tls.clientCa,
            [{ cert_chain: tls.certificate, private_key: tls.key }],
            tls.clientCa !== null,
          );
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(listen, credentials, (error, port) => (error === null ? resolve(port) : reject(error)));
    });
  }

  // Lets calls end for ten seconds, then ends them.
  async close(): Promise<void> {
    const force = setTimeout(() => {
      for (const stop of this.#calls) {
        stop.abort(new DsrError("STREAM_ENDED", "The connector is stopping. Try again."));
      }
      this.#server.forceShutdown();
    }, DRAIN_MS);
    await new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()));
    clearTimeout(force);
  }

  #unary(method: Method) {
    return async (call: ServerUnaryCall<Buffer, object>, reply: sendUnaryData<object>): Promise<void> => {
      let answer: object | undefined;
      const error = await this.#answer(method, call, async (message) => {
        answer = message;
      });
      error === undefined ? reply(null, answer!) : reply(error.status());
    };
  }

  #stream(method: Method) {
    return async (call: ServerWritableStream<Buffer, object>): Promise<void> => {
      const error = await this.#answer(method, call, async (message, signal) => {
        if (!call.write(message)) {
          await once(call, "drain", { signal });
        }
      });
      error === undefined ? call.end() : call.emit("error", error.status());
    };
  }

  // Makes the call and hands over its messages. Returns the error to answer, if any; never throws.
  async #answer(
    method: Method,
    call: AnyCall,
    send: (message: object, signal: AbortSignal) => Promise<void>,
  ): Promise<DsrError | undefined> {
    const began = performance.now();
    const stop = new AbortController();
    const line: Record<string, unknown> = { rpc: method, peer: call.getPeer() };
    call.on("cancelled", () => stop.abort(new DsrError("STREAM_ENDED", "The caller has gone.")));
    this.#calls.add(stop);
    let error: DsrError | undefined;
    try {
      const audience = await this.tokens.audience(call.metadata);
      line["source"] = audience;
      // Each method takes its own request; which one that is, the contract says. It may have methods that aren't here.
      const handler = this.connector[method] as
        | ((request: object, call: object) => AsyncIterable<object>)
        | undefined;
      if (handler === undefined) {
        throw new DsrError("METHOD_UNKNOWN", `This connector has no ${method}.`);
      }
      const request = parse(method, call.request);
      for await (const message of handler.call(this.connector, request, { audience, stop })) {
        stop.signal.throwIfAborted();
        await send(message, stop.signal);
        await setImmediate(); // other calls get their turn, a newer attempt of this task among them
        stop.signal.throwIfAborted();
      }
    } catch (thrown) {
      error = this.#known(stop.signal.aborted ? stop.signal.reason : thrown, line);
    }
    this.#calls.delete(stop);
    const { code, reason } = error ?? { code: status.OK, reason: undefined };
    this.log({ ...line, code: status[code], reason, milliseconds: Math.round(performance.now() - began) });
    return error;
  }

  // An error of ours as it is, anything else as INTERNAL. Texts of other errors may quote data: they are neither sent nor logged.
  #known(thrown: unknown, line: Record<string, unknown>): DsrError {
    if (thrown instanceof DsrError) {
      return thrown;
    }
    const incident = randomUUID();
    const frames = thrown instanceof Error ? (thrown.stack ?? "").split("\n").filter((frame) => /^\s+at /.test(frame)) : [];
    Object.assign(line, { incident, defect: thrown instanceof Error ? thrown.name : typeof thrown, frames });
    return new DsrError("INTERNAL", "A defect of the connector. Give the incident to its operator.", { incident });
  }
}

function parse(method: Method, bytes: Buffer): object {
  const type = `dsr.connector.v1.${method}Request`;
  let request: object;
  try {
    request = decode<object>(type, bytes);
  } catch {
    throw invalid("request", "it can't be read");
  }
  const missing = missingField(type, request);
  if (missing !== undefined) {
    throw required(missing);
  }
  return request;
}
