"""The keys room: API keys."""
