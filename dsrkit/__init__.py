"""What the services share and no more. Knows no service."""
