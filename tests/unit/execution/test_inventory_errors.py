from pathlib import Path

import pytest

from ansible_api.errors import TransientJobError
from ansible_api.execution.inventory_errors import LONGEST, clean, listing_failed
from ansible_api.execution.inventory_files import Source

DIRECTORY = Path("/state/job-1.1/inventory/0")
FILE = Source("/inventory/0", DIRECTORY / "hosts", ("script", "auto", "yaml", "ini"))
CONFIG = Source("/inventory/1", Path("/state/job-1.1/inventory/1/x.yml"), ("x",), is_config=True)


def said(plugin: str, text: str, source: Path = CONFIG.path) -> str:
    return (
        f"[WARNING]: Failed to parse inventory with '{plugin}' plugin: {text}\n\n<<< caused by >>>\n\n{text}\n\n"
        f"[ERROR]: Completely failed to parse inventory source {source}\n"
    )


# Sentences as the collections of ansible 12 and their libraries write them.
SENTENCES = {
    "Failed to import the required Python library (hcloud) on h's Python /x/python.": "inventory_library_missing",
    "the linode dynamic inventory plugin requires linode_api4. Package is missing": "inventory_library_missing",
    "Error loading plugin 'a.b.c': No module named 'ansible_collections.a'": "inventory_plugin_not_found",
    "inventory config '/w/x.yml' specifies unknown plugin 'a.b.c'": "inventory_plugin_not_found",
    "Attempting to decrypt but no vault secrets found.": "inventory_not_decrypted",
    "Config 'regions' for 'x' inventory plugin from 'Direct' has an invalid value: 7": "inventory_config_invalid",
    "No setting was provided for required configuration setting: url": "inventory_config_invalid",
    "unknown option keyed_grups": "inventory_config_invalid",
    "Incorrect plugin name in file: none found": "inventory_config_invalid",
    "Failed to describe instances: Unable to locate credentials": "inventory_refused",
    "An error occurred (AuthFailure) when calling the DescribeInstances operation": "inventory_refused",
    "Failed to describe instances: An error occurred (UnauthorizedOperation)": "inventory_refused",
    "AADSTS7000215: Invalid client secret provided.": "inventory_refused",
    "HTTP Error 401: Unauthorized": "inventory_refused",
    "('invalid_grant: Invalid JWT Signature.')": "inventory_refused",
    "The request you have made requires authentication. (HTTP 401)": "inventory_refused",
    'Could not connect to the endpoint URL: "https://ec2.example.com/"': "inventory_unreachable",
    "HTTPSConnectionPool(host='x', port=443): Max retries exceeded with url: /": "inventory_unreachable",
    "An error occurred (RequestLimitExceeded) when calling the DescribeInstances operation": "inventory_unreachable",
    "HTTP Error 503: Service Unavailable": "inventory_unreachable",
    "something else": "inventory_config_invalid",
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_sentences_of_plugins_are_sorted(sentence: str) -> None:
    error = listing_failed(said("x", sentence), [FILE, CONFIG], {})
    assert error.job_code == SENTENCES[sentence]
    assert isinstance(error, TransientJobError) == (error.job_code == "inventory_unreachable")
    assert error.detail.startswith("inventory/1: ")


def test_the_plugin_whose_file_it_was_is_heard() -> None:
    stderr = said("auto", "no root 'plugin' key found, '/x' is not a valid", FILE.path)
    stderr += said("yaml", "YAML parsing failed: here", FILE.path) + said("ini", "nonsense", FILE.path)
    error = listing_failed(stderr, [FILE, CONFIG], {})
    assert (error.job_code, error.detail) == (
        "inventory_invalid",
        "inventory/0: YAML parsing failed: here: correct the inventory",
    )


def test_a_file_within_a_directory_is_told_by_the_directorys_place() -> None:
    source = Source("/inventory", DIRECTORY, ("yaml",))
    error = listing_failed(said("yaml", "bad", DIRECTORY / "sub" / "a.yml"), [source, CONFIG], {})
    assert error.detail.startswith("inventory: bad")


def test_what_the_proxy_refused_is_the_reason() -> None:
    refused = {403: "127.0.0.1 is loopback: not allowed", 504: "away"}
    denied = listing_failed(said("x", "Failed to connect to proxy URL"), [CONFIG], refused)
    assert (denied.job_code, denied.retryable) == ("inventory_denied", False)
    assert "127.0.0.1 is loopback" in denied.detail
    away = listing_failed(said("x", "invalid XML"), [CONFIG], {504: "away"})
    assert (away.job_code, away.retryable) == ("inventory_unreachable", True)


@pytest.mark.parametrize("stderr", ["Traceback\nMemoryError\n", said("yaml", "Unexpected AnsibleError error.")])
def test_too_much_memory_is_told_apart(stderr: str) -> None:
    assert listing_failed(stderr, [CONFIG], {}).job_code == "inventory_too_large"


def test_silence_is_an_error_too() -> None:
    assert listing_failed("", [FILE, CONFIG], {}).job_code == "inventory_invalid"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\n  b\t c.", "a b c"),
        ("in /state/job-1.1/inventory/0/hosts.yml: bad", "in hosts.yml: bad"),
        ("'/opt/venv/bin/python'", "'python'"),
        ("http://job:secret@127.0.0.1:1/x", "http://127.0.0.1:1/x"),
        ("https://example.com/a/b", "https://example.com/a/b"),
        ("a/b", "a/b"),
    ],
)
def test_sentences_are_one_line_without_directories_and_logins(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_sentences_are_bounded() -> None:
    assert len(clean("x" * 10_000)) == LONGEST + 1
