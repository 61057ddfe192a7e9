"""The execution room: plain functions of values that prepare and run a play."""
