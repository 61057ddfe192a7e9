"""Every inventory plugin that is installed takes the file that we write for it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_api.errors import JobError
from ansible_api.execution.inventory_names import BUILTIN, FILE_NAMES, READERS, config_file_name

# Reads names of plugins and files on stdin; says for each what its verify_file says, or why it cannot be loaded.
CHECK = """
import json, sys
from ansible.plugins.loader import init_plugin_loader, inventory_loader
init_plugin_loader()
answers = {}
for name, path in json.load(sys.stdin).items():
    try:
        plugin = inventory_loader.get(name)
    except Exception as error:
        answers[name] = f"{type(error).__name__}: {error}"
        continue
    if plugin is None:
        answers[name] = "cannot be loaded"
        continue
    answers[name] = bool(plugin.verify_file(path))
print(json.dumps(answers))
"""


def installed() -> list[str]:
    import ansible
    import ansible_collections

    (collections,) = ansible_collections.__path__
    found = [
        f"{path.parts[-5]}.{path.parts[-4]}.{path.stem}"
        for path in sorted(Path(collections).glob("*/*/plugins/inventory/[a-z]*.py"))
    ]
    own = Path(ansible.__file__).parent / "plugins/inventory"
    return [*found, *(f"ansible.builtin.{path.stem}" for path in sorted(own.glob("[a-z]*.py")))]


def test_every_installed_plugin_takes_the_file_that_is_named_for_it(tmp_path: Path) -> None:
    plugins = [name for name in installed() if name.rpartition(".")[2] not in READERS]
    assert len(plugins) > 45
    files: dict[str, str] = {}
    for number, name in enumerate(plugins):
        path = tmp_path / str(number) / config_file_name(name)
        path.parent.mkdir()
        path.write_text(f"plugin: {name}\n")
        files[name] = str(path)
    done = subprocess.run(
        [sys.executable, "-I", "-c", CHECK], input=json.dumps(files), capture_output=True, text=True, check=True
    )
    answers = json.loads(done.stdout.splitlines()[-1])
    refused = {name: answer for name, answer in answers.items() if answer is not True}
    assert [name for name, answer in refused.items() if answer is False] == []
    # Their libraries are not installed here.
    assert set(refused) <= {"ngine_io.cloudstack.instance"}
    assert set(FILE_NAMES) <= set(plugins)


@pytest.mark.parametrize("reader", sorted(READERS))
def test_readers_of_files_take_no_configuration(reader: str) -> None:
    for prefix in ("", *BUILTIN):
        with pytest.raises(JobError, match="takes no configuration") as caught:
            config_file_name(prefix + reader)
        assert caught.value.job_code == "inventory_config_invalid"
