"""Measurements of speed and memory: `python -m bench` starts private servers, measures, and prints one table."""
