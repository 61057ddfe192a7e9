"""Door 1: the REST API, async HTTP."""

PREFIX = "/api/v1"
