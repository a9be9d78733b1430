"""What a person receives under Art. 20 GDPR. `build` yields the archive's bytes; call it and read it in a thread."""

from services.portability.package.build import base, build

__all__ = ["base", "build"]
