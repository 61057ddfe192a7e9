"""Private real servers for tests: each starts on a free port or socket and is gone when the tests are."""
