"""Door 2: the Celery tasks, sync."""
