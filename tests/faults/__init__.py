"""The fault rig: a whole installation under load, faults from a plan, and an oracle outside the service."""
