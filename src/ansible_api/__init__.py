"""A service with a REST API that runs Ansible for CI/CD pipelines and other services."""

__version__ = "0.1.0"
