"""Headers of HTTP requests in which ${NAME} stands for a variable of a credential."""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import SecretStr, StringConstraints

HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$")]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]*$", max_length=8192)]
HEADER_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class UnknownVariable(ValueError):
    """A header names a variable that the credential does not have."""

    def __init__(self, header: str, name: str, known: Mapping[str, SecretStr]) -> None:
        self.header = header
        self.detail = f"the credential has no variable {name[:128]}, only {', '.join(sorted(known)) or 'none'}"
        super().__init__(self.detail)


def filled(headers: Mapping[str, str], variables: Mapping[str, SecretStr]) -> dict[str, str]:
    """The headers with every ${NAME} replaced, once: a value is never looked through again; UnknownVariable."""

    def value(header: str, name: str) -> str:
        if name not in variables:
            raise UnknownVariable(header, name, variables)
        return variables[name].get_secret_value()

    return {
        header: HEADER_VARIABLE.sub(lambda found, header=header: value(header, found[1]), text)  # type: ignore[misc]
        for header, text in headers.items()
    }
