"""Small git repositories with playbooks."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

IDENTITY = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]


def make_repo(path: Path, files: Mapping[str, str]) -> Path:
    """A repository with one commit of these files."""
    path.mkdir(parents=True)
    _git(path, "init", "--quiet", "--initial-branch=main")
    return commit(path, files)


def commit(path: Path, files: Mapping[str, str]) -> Path:
    """Another commit with these files."""
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    _git(path, "add", "--all")
    _git(path, *IDENTITY, "commit", "--quiet", "--message", "change")
    return path


def head(path: Path) -> str:
    return _git(path, "rev-parse", "HEAD")


def _git(path: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(path), *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def play(tasks: str, **keys: str) -> str:
    """A playbook of one play over all hosts, without facts."""
    lines = ["- hosts: all", "  gather_facts: false", *(f"  {key}: {value}" for key, value in keys.items()), "  tasks:"]
    return "\n".join([*lines, *(f"    {line}" for line in tasks.strip().splitlines()), ""])


HELLO = play("""
- name: Greet
  debug:
    msg: hello {{ inventory_hostname }}
""")
SLOW = play("""
- name: Wait
  command: sleep {{ seconds | default(60) }}
""")
