"""The tables, all of them, for Alembic."""

from ansible_api.credentials import model as _credentials  # noqa: F401
from ansible_api.db import Base
from ansible_api.deliveries import model as _deliveries  # noqa: F401
from ansible_api.jobs import model as _jobs  # noqa: F401
from ansible_api.keys import model as _keys  # noqa: F401

metadata = Base.metadata
