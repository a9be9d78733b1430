"""The platform's own connectors: one host process, one folder per kind of backend."""
