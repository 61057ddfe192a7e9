"""Stands for a worker: executes one job, until the test kills it."""

import sys
from pathlib import Path

from ansible_api.credentials.secrets import Secrets
from ansible_api.execution.execute import execute
from ansible_api.execution.preparation import Assignment, ExecutionConfig
from ansible_api.jobs.spec import JobSpec
from ansible_api.settings import Isolation

if __name__ == "__main__":
    job_id, spec_file, work_dir, isolation = sys.argv[1:]
    execute(
        Assignment(job_id, 1, JobSpec.model_validate_json(Path(spec_file).read_text()), Secrets()),
        ExecutionConfig(Path(work_dir), Path(work_dir).with_name("cache"), isolation=Isolation(isolation)),
        emit=lambda event: None,
        report=lambda started: None,
        pulse=lambda: None,
        conclude=lambda outcome, found: None,
    )
