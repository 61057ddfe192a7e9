"""Starts the API of the environment on a listening socket that it inherited: `python -m … FD`."""

import sys

import uvicorn

from ansible_api.api.app import from_environment

uvicorn.run(from_environment(), fd=int(sys.argv[1]), log_config=None, access_log=False, timeout_graceful_shutdown=5)
