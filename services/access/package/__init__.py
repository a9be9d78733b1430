"""What a person receives under Art. 15 GDPR. `build` yields the archive's bytes; call it and read it in a thread."""

from services.access.package.build import base, build

__all__ = ["base", "build"]
