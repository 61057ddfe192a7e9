"""What each cloud is asked: signed as its specification says, sent where it must go, never printed."""

import base64
import json
import time
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ansible_api.credentials.model import Kind
from ansible_api.credentials.probe_clouds import aws, azure, google, identity, openstack
from ansible_api.credentials.probes import Question, Reach, judged
from ansible_api.egress import Policy

REACH = Reach(Policy(), 1)
AWS = {"access_key_id": "AKIATEST", "secret_access_key": "canary"}
RSA = rsa.generate_private_key(65537, 2048)


def form(question: Question) -> dict[str, str]:
    assert question.headers["Content-Type"] == "application/x-www-form-urlencoded"
    return {
        name: values[0] for name, values in parse_qs((question.content or b"").decode(), strict_parsing=True).items()
    }


def account(key: Any) -> dict[str, str]:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {"service_account": json.dumps({"client_email": "robot@prod.example", "private_key": pem})}


def part(text: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


@pytest.mark.parametrize(
    ("more", "url", "region"),
    [
        ({}, "https://sts.us-east-1.amazonaws.com/", "us-east-1"),
        ({"region": "eu-west-3"}, "https://sts.eu-west-3.amazonaws.com/", "eu-west-3"),
        ({"region": "cn-north-1"}, "https://sts.cn-north-1.amazonaws.com.cn/", "cn-north-1"),
        ({"endpoint_url": "https://aws.example:4566", "region": "x"}, "https://aws.example:4566/", "x"),
    ],
)
def test_aws_is_asked_in_the_region_and_the_secret_signs_only(more: dict[str, str], url: str, region: str) -> None:
    question = aws(AWS | more | {"session_token": "session"})
    assert question.url == url
    assert question.headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIATEST/")
    assert f"/{region}/sts/aws4_request" in question.headers["Authorization"]
    assert question.headers["X-Amz-Security-Token"] == "session"
    assert "canary" not in str(question.headers) + str(question.content)


def test_azure_is_asked_for_a_token_of_the_tenant() -> None:
    question = azure({"tenant": "con/../toso", "client_id": "id", "client_secret": "can&ary"})
    assert question.url == "https://login.microsoftonline.com/con%2F..%2Ftoso/oauth2/v2.0/token"
    assert form(question) == {
        "grant_type": "client_credentials",
        "client_id": "id",
        "client_secret": "can&ary",
        "scope": "https://management.azure.com/.default",
    }


def test_google_gets_an_assertion_that_the_accounts_key_has_signed() -> None:
    question = google(account(RSA))
    assert question.url == "https://oauth2.googleapis.com/token"
    sent = form(question)
    assert sent["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    head, claims, signature = sent["assertion"].split(".")
    RSA.public_key().verify(
        base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4)),
        f"{head}.{claims}".encode(),
        PKCS1v15(),
        SHA256(),
    )
    assert part(head)["alg"] == "RS256"
    told = part(claims)
    assert (told["iss"], told["aud"]) == ("robot@prod.example", question.url)
    assert told["iat"] <= time.time() < told["exp"] <= told["iat"] + 3600


@pytest.mark.parametrize(
    "fields",
    [
        {"service_account": '{"client_email": "a", "private_key": "canary"}'},
        {"service_account": '{"client_email": "a", "private_key": ["canary"]}'},
        account(ec.generate_private_key(ec.SECP256R1())),
    ],
)
def test_a_service_account_without_an_rsa_key_is_bad_before_anybody_is_asked(fields: dict[str, str]) -> None:
    verdict = identity(Kind.GCP, fields, REACH)
    assert not verdict.ok
    assert "no RSA key" in verdict.detail
    assert "canary" not in verdict.detail


def test_keystone_gets_a_user_with_a_project_or_an_application_credential() -> None:
    user = openstack({"auth_url": "https://k/", "username": "u", "password": "canary", "project_name": "p"})
    auth = json.loads(user.content or b"")["auth"]
    assert auth["identity"]["methods"] == ["password"]
    assert auth["identity"]["password"]["user"] == {"name": "u", "password": "canary", "domain": {"name": "Default"}}
    assert auth["scope"] == {"project": {"name": "p", "domain": {"name": "Default"}}}
    application = openstack(
        {"auth_url": "https://k/v3", "application_credential_id": "i", "application_credential_secret": "canary"}
    )
    auth = json.loads(application.content or b"")["auth"]
    assert auth == {
        "identity": {
            "methods": ["application_credential"],
            "application_credential": {"id": "i", "secret": "canary"},
        }
    }
    assert user.url == application.url.replace("/v3/v3", "/v3") == "https://k/v3/auth/tokens"


def test_questions_do_not_print_what_they_carry() -> None:
    fields = {"auth_url": "https://k", "username": "u", "password": "canary", "project_name": "p"}
    assert "canary" not in repr(openstack(fields))
    assert "AKIATEST" not in repr(aws(AWS))


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Kind.AWS, AWS | {"endpoint_url": "http://127.0.0.1:9"}),
        (Kind.OPENSTACK, {"auth_url": "http://10.0.0.1", "username": "u", "password": "canary", "project_name": "p"}),
    ],
)
def test_an_address_that_may_not_be_reached_is_said_so(kind: Kind, fields: dict[str, str]) -> None:
    verdict = identity(kind, fields, REACH)
    assert not verdict.ok
    assert "may not be asked" in verdict.detail


@pytest.mark.parametrize(
    ("status", "ok", "words"),
    [
        (200, True, "took"),
        (201, True, "took"),
        (302, False, "redirect"),
        (400, False, "refused"),
        (401, False, "refused"),
        (403, False, "refused"),
        (404, False, "answered 404"),
        (500, False, "answered 500"),
    ],
)
def test_the_status_of_the_answer_is_the_verdict(status: int, ok: bool, words: str) -> None:
    verdict = judged("the server", status)
    assert verdict.ok is ok
    assert words in verdict.detail
