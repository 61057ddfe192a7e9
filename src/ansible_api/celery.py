"""The Celery app. API and CLI use it to send by name; only a worker loads the tasks."""

from celery import Celery

TASK_MODULES = ("run", "upload", "close", "deliver")


def create_app() -> Celery:
    """The app with the settings of celeryconfig.py."""
    app = Celery("ansible_api", set_as_current=False)
    app.config_from_object("celeryconfig")
    return app
