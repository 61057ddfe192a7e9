"""The jobs room: what a job is, asks, answers and may become."""
