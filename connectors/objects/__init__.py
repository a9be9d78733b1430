"""What the kinds of object stores (s3, swift) share: everything but the store itself."""
