"""`python -m ansible_api.cli`, for the processes that `up` starts."""

from ansible_api.cli import app

app(prog_name="ansible-api")
