"""Prometheus metrics of API and workers."""

from prometheus_client import Counter, Histogram

JOBS_SUBMITTED = Counter("ansible_api_jobs_submitted_total", "Jobs accepted", ["queue"])
JOBS_ENDED = Counter("ansible_api_jobs_ended_total", "Attempts that ended a job", ["queue", "status"])
PHASE_SECONDS = Histogram(
    "ansible_api_phase_seconds",
    "Time that attempts spent in each phase",
    ["phase"],
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3600, 10800),
)
WEBHOOK_ATTEMPTS = Counter("ansible_api_webhook_attempts_total", "Webhook attempts", ["outcome"])
LEASES_LOST = Counter("ansible_api_leases_lost_total", "Attempts that lost their lease")
REQUESTS = Histogram(
    "ansible_api_http_request_seconds",
    "Time to answer HTTP requests",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
)
