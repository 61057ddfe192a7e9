"""Tests, split by cost: unit (no I/O), integration (real servers), acceptance (real workers), contract."""
