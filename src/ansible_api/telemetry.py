"""Prometheus metrics of API and workers; those of the queues are made of rows, in `api.metrics`."""

from prometheus_client import Counter, Histogram

LONG = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3600, 10800)  # seconds: from a cached fetch to a long play

JOBS_SUBMITTED = Counter("ansible_api_jobs_submitted_total", "Jobs accepted", ["queue"])
JOBS_ENDED = Counter("ansible_api_jobs_ended_total", "Jobs that ended, once each", ["queue", "status"])
QUEUE_SECONDS = Histogram(
    "ansible_api_queue_seconds", "Time that ended jobs waited for a worker, at the last", ["queue"], buckets=LONG
)
PHASE_SECONDS = Histogram(
    "ansible_api_phase_seconds", "Time that attempts spent in each phase", ["phase"], buckets=LONG
)
RUN_SECONDS = Histogram(
    "ansible_api_run_seconds", "Time from the last attempt's start to its job's end", ["queue", "status"], buckets=LONG
)
EVENTS = Counter("ansible_api_events_total", "Events of plays")
WEBHOOK_ATTEMPTS = Counter(
    "ansible_api_webhook_attempts_total",
    "Webhook attempts: delivered, failed for good, or pending another",
    ["outcome"],
)
LEASES_LOST = Counter(
    "ansible_api_leases_lost_total", "Attempts that were ended because their worker was silent or dead"
)
GIT_CACHE = Counter(
    "ansible_api_git_cache_total", "Projects from git: hit, or miss when something was fetched", ["result"]
)
REQUESTS = Histogram(
    "ansible_api_http_request_seconds",
    "Time to answer HTTP requests",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
)
