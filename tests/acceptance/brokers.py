"""On which brokers a test of workers is run; on MariaDB, as in production."""

import os

import pytest

REDIS, RABBITMQ = "mariadb+redis", "mariadb+rabbitmq"
ALL = bool(os.environ.get("ALL_BROKERS"))

on_both_brokers = pytest.mark.parametrize("fresh_service", [REDIS, RABBITMQ], indirect=True)
# What no broker knows of: on RabbitMQ, too, when ALL_BROKERS=1 asks for it.
on_any_broker = on_both_brokers if ALL else pytest.mark.parametrize("fresh_service", [REDIS], indirect=True)
