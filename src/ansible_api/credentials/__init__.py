"""The credentials room: stored secrets and the types that carry them."""
