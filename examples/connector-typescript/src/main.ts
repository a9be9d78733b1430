// node dist/main.js --config connector.json [--check]
import tls from "node:tls";
import { parseArgs } from "node:util";

import { ConfigError, loadConfig } from "./config.js";
import { Connector } from "./connector.js";
import { Grants } from "./grants.js";
import { ConnectorServer } from "./server.js";
import { Source } from "./source.js";
import { Tokens } from "./tokens.js";

// TLS 1.2 and newer, with 256-bit keys only.
tls.DEFAULT_MIN_VERSION = "TLSv1.2";
tls.DEFAULT_CIPHERS = [
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  ...["AES256-GCM-SHA384", "CHACHA20-POLY1305"].flatMap((one) => [`ECDHE-ECDSA-${one}`, `ECDHE-RSA-${one}`]),
].join(":");

function log(line: object): void {
  process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), ...line })}\n`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { config: { type: "string" }, check: { type: "boolean" } } });
  if (values.config === undefined) {
    throw new ConfigError("give the configuration file: --config connector.json");
  }
  const config = loadConfig(values.config);
  const sources = config.sources.map((source) => new Source(source));
  const tokens = new Tokens(config.trust, sources.map((source) => source.config.name), config.loopback);
  const server = new ConnectorServer(new Connector(sources, new Grants(config.grantKeys)), tokens, log);
  if (values.check === true) {
    return;
  }
  const port = await server.listen(config);
  log({ listening: config.listen.replace(/:\d+$/, `:${port}`) });
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.once(signal, () => void server.close().then(() => log({ stopped: signal })));
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = error instanceof ConfigError ? 2 : 1;
});
