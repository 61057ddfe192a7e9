"""${NAME} in headers: filled from the credential only, and only once."""

import pytest
from pydantic import SecretStr

from ansible_api.credentials.headers import UnknownVariable, filled

VALUES = {"TOKEN": SecretStr("canary-${OTHER}"), "OTHER": SecretStr(r"\1canary")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain $TOKEN {TOKEN} $ {TOKEN} $$", "plain $TOKEN {TOKEN} $ {TOKEN} $$"),
        ("Bearer ${TOKEN}", "Bearer canary-${OTHER}"),
        ("${OTHER}${OTHER}", r"\1canary\1canary"),
        ("$${OTHER}", r"$\1canary"),
        ("${} ${ OTHER} ${OTHER:-x} ${1} ${{OTHER}}", "${} ${ OTHER} ${OTHER:-x} ${1} ${{OTHER}}"),
    ],
)
def test_values_take_the_place_of_their_names(text: str, expected: str) -> None:
    assert filled({"X": text, "Y": "${OTHER}"}, VALUES) == {"X": expected, "Y": r"\1canary"}


@pytest.mark.parametrize("name", ["NONE", "token", "HOME", "_TOKEN"])
def test_a_name_that_the_credential_does_not_have_is_an_error_that_lists_those_it_has(name: str) -> None:
    with pytest.raises(UnknownVariable) as caught:
        filled({"Accept": "*/*", "X": f"a ${{{name}}}"}, VALUES)
    assert caught.value.header == "X"
    assert "only OTHER, TOKEN" in caught.value.detail
    assert "canary" not in str(caught.value)


def test_without_a_credential_no_name_is_known() -> None:
    assert filled({"X": "y"}, {}) == {"X": "y"}
    with pytest.raises(UnknownVariable, match="only none"):
        filled({"X": "${A}"}, {})
