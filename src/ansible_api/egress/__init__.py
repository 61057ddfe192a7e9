"""Requests to addresses that callers name: only to places that they may reach, and never for long."""

from ansible_api.egress.connect import Deadline, Resolver, checked_addresses
from ansible_api.egress.errors import AnswerTooLarge, EgressDenied, EgressFailed
from ansible_api.egress.policy import Policy, check_url, receiver_of
from ansible_api.egress.proxy import DENIED, guarded_proxy
from ansible_api.egress.request import Answer, exchange, get, post

__all__ = [
    "DENIED",
    "Answer",
    "AnswerTooLarge",
    "Deadline",
    "EgressDenied",
    "EgressFailed",
    "Policy",
    "Resolver",
    "check_url",
    "checked_addresses",
    "exchange",
    "get",
    "guarded_proxy",
    "post",
    "receiver_of",
]
