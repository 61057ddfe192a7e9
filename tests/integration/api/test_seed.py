"""Every example of the first draft is accepted as it stands."""

from typing import Any

import pytest

from ansible_api.api import examples
from ansible_api.credentials.schemas import NewCredential
from ansible_api.credentials.store import create as create_credential
from tests.integration.api.conftest import Api

pytestmark = pytest.mark.anyio

STORED = {
    "github-deploy-key": {"kind": "git", "token": "t"},
    "prod-become": {"kind": "become_password", "password": "p"},
    "prod-vault": {"kind": "vault_password", "password": "p"},
    "automation-hub-token": {"kind": "galaxy_token", "token": "t"},
    "aws-prod": {"kind": "aws", "access_key_id": "AKIA", "secret_access_key": "s"},
    "cmdb-api-token": {"kind": "http", "variables": {"CMDB_TOKEN": "t"}},
    "hcp-vault-token": {"kind": "hashicorp_vault", "url": "https://vault.example.com", "token": "t"},
}


@pytest.mark.parametrize("form", list(examples.JOBS))
async def test_every_form_of_the_first_draft_is_accepted(api: Api, form: str, ssh_key: str) -> None:
    stored = STORED | {"prod-ssh-key": {"kind": "ssh_key", "private_key": ssh_key}}
    for name, fields in stored.items():
        new = NewCredential.model_validate({"name": name, **fields})
        api.database.write(create_credential, api.parts.cipher, "red", new)
    request: dict[str, Any] = examples.JOBS[form]["value"]
    async with api.client() as client:
        answer = await client.post("/api/v1/jobs", json=request)
    assert answer.status_code == 202, answer.text
    answered = answer.json()
    assert {key: answered["source"][key] for key in request["source"]} == request["source"]
    assert {key: answered["options"][key] for key in request.get("options", {})} == request.get("options", {})
