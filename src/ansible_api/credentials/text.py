"""Checked texts of credentials and requests: each has its characters, its length and words for what is wrong."""

from typing import Annotated

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    Field,
    SecretStr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)


def check_value(value: SecretStr) -> SecretStr:
    """ValueError for a NUL, which ends a text in every environment and list of arguments: more would follow it."""
    if "\0" in value.get_secret_value():
        raise ValueError("it holds a NUL character, which no program takes: leave it out")
    return value


def check_header(value: SecretStr) -> SecretStr:
    """ValueError for what cannot be sent in a header, such as the line break at the end of a file."""
    text = value.get_secret_value()
    if not text.isascii() or not text.isprintable() or text != text.strip():
        raise ValueError("a header cannot hold it: leave out line breaks, blanks at its ends and all beyond ASCII")
    return value


Username = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.][A-Za-z0-9_.@-]*$", max_length=128)]
Value = Annotated[SecretStr, Field(min_length=1, max_length=65_536), AfterValidator(check_value)]
HeaderSecret = Annotated[Value, AfterValidator(check_header)]
KnownHosts = Annotated[str, StringConstraints(max_length=65_536)]
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:/@-]+$", max_length=256)]
Region = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=256)]
VaultId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.][A-Za-z0-9_.-]*$", max_length=64)]
_HTTP_URL = TypeAdapter(AnyHttpUrl)


def _check_url(url: str) -> str:
    try:
        _HTTP_URL.validate_python(url)
    except ValidationError:
        raise ValueError("give an http:// or https:// URL") from None
    return url


WebUrl = Annotated[
    str,
    StringConstraints(pattern=r"^[\x21-\x7e]+$", max_length=2048),
    AfterValidator(_check_url),
    WithJsonSchema({"type": "string", "format": "uri", "maxLength": 2048}),
]

# Ours, the sandbox's, and those that make the dynamic linker or Python run other code than Ansible's.
RESERVED_PREFIXES = ("ANSIBLE_API_", "AWX_", "LD_", "PYTHON")
RESERVED_NAMES = frozenset(
    {"HOME", "PATH", "TMPDIR"}
    | {
        f"ANSIBLE_{name}"
        for name in (
            *("CONFIG", "LOG_PATH", "LOCAL_TEMP", "STDOUT_CALLBACK", "RETRY_FILES_ENABLED", "RETRY_FILES_SAVE_PATH"),
            *("SSH_CONTROL_PATH", "SSH_CONTROL_PATH_DIR", "INVENTORY_ENABLED", "COLLECTIONS_PATH", "ROLES_PATH"),
        )
    }
)


def check_variable(name: str) -> str:
    """ValueError for the names of environment variables that callers may not set."""
    if name.startswith(RESERVED_PREFIXES) or name in RESERVED_NAMES:
        raise ValueError(f"{name} is the service's own: use another name")
    return name


VariableName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128), AfterValidator(check_variable)
]
