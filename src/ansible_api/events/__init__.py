"""The events room: what a play reports while it runs."""
