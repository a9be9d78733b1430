"""The dev overlay, started by podman: `make deploy-test`."""
