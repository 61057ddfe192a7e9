"""Celery's settings that are the same everywhere; `ansible_api.celery` adds addresses and sizes from `settings`."""

from kombu.entity import Exchange
from kombu.entity import Queue as KombuQueue

from ansible_api.routing import HIGHEST_PRIORITY, Queue, TaskName, task_queue

KEY_PREFIX = "ansible-api:"

# Queues
task_queues = [
    KombuQueue(name, Exchange(name, type="direct"), routing_key=name, max_priority=HIGHEST_PRIORITY) for name in Queue
]
task_routes = {name.value: {"queue": task_queue(name).value} for name in TaskName}
task_default_queue = Queue.DEFAULT.value
task_create_missing_queues = False

# A dead or hung broker costs a bounded wait. The visibility timeout only matters to the small tasks that acknowledge
# late: run_job acknowledges early, and its row decides.
broker_connection_retry_on_startup = True
broker_connection_timeout = 2.0
broker_transport_options = {
    "queue_order_strategy": "ansible_api.celery:DeliveryFirst",
    "priority_steps": list(range(HIGHEST_PRIORITY + 1)),
    "global_keyprefix": KEY_PREFIX,
    "socket_timeout": 5.0,
    "socket_connect_timeout": 2.0,
    "health_check_interval": 25,
    "visibility_timeout": 600,
}
redis_socket_timeout = 5.0
redis_socket_connect_timeout = 2.0
redis_backend_health_check_interval = 25
result_backend_transport_options = {
    "global_keyprefix": KEY_PREFIX,
    "retry_policy": {"max_retries": 2, "timeout": 5.0},
}
result_expires = 600  # a chord that takes so long was sent again long ago

# JSON with ids only, in both directions
task_serializer = result_serializer = event_serializer = "json"
accept_content = result_accept_content = ["json"]
task_ignore_result = True

# Workers take only what they can run now
worker_prefetch_multiplier = 1
worker_disable_prefetch = True
worker_hijack_root_logger = False
worker_redirect_stdouts = False
worker_cancel_long_running_tasks_on_connection_loss = False
worker_proc_alive_timeout = 30.0
worker_lost_wait = 2.0  # a dead child is reported so soon

# Flower
worker_send_task_events = True
task_send_sent_event = True
event_queue_expires = 60.0
event_queue_ttl = 30.0

enable_utc = True
timezone = "UTC"
