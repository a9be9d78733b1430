"""The container image: what of the lock goes into it, and its bill of materials."""
