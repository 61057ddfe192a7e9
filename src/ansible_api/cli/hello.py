"""A first playbook in a git repository, so that the command that `up` prints runs something."""

from pathlib import Path
from shutil import rmtree

PLAYBOOK = """\
- name: Say hello
  hosts: all
  connection: local
  gather_facts: false
  tasks:
    - name: Greet
      ansible.builtin.debug:
        msg: "Hello from {{ inventory_hostname }}"
"""
AUTHOR = b"ansible-api <ansible-api@localhost>"


def make_repository(path: Path) -> None:
    """Make the repository unless there is one."""
    if path.exists():
        return
    from dulwich import porcelain

    draft = path.with_name(path.name + ".part")
    rmtree(draft, ignore_errors=True)
    draft.mkdir()
    (draft / "hello.yml").write_text(PLAYBOOK)
    with porcelain.init(draft) as repository:
        porcelain.add(repository, [draft / "hello.yml"])
        porcelain.commit(repository, message=b"Say hello", author=AUTHOR, committer=AUTHOR, sign=False)
    draft.replace(path)
