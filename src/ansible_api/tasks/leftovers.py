"""What is stored of a job beside its products; nobody reads it once the log is stored."""

from ansible_api.events import keys
from ansible_api.objects import ObjectStore


async def drop_leftovers(objects: ObjectStore, job_id: str, attempt: int) -> None:
    """The stored log holds all that segments and partial logs held; nobody reads those of earlier attempts."""
    for name in [name async for name in objects.keys(keys.of_job(job_id))]:
        if not keys.is_product(name, job_id, attempt):
            await objects.delete(name)
