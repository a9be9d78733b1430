"""The life of a request, which the three rights share: store, resolution, location, export, bundles, RPCs."""
