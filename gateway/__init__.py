"""The HTTP/JSON edge: turns requests into RPCs by their `google.api.http` annotations. Holds no domain."""
