"""The question to each cloud that tells whether an account's keys are good: who am I?"""

import base64
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ansible_api.credentials.model import Kind
from ansible_api.credentials.probes import Question, Reach, Verdict, ask

AZURE = "https://login.microsoftonline.com"
GOOGLE = "https://oauth2.googleapis.com/token"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
REGION = "us-east-1"  # of AWS, when neither credential nor anything else names one


def identity(kind: Kind, fields: Mapping[str, Any], reach: Reach) -> Verdict:
    """Ask the cloud of a credential who it belongs to."""
    match kind:
        case Kind.AWS:
            question = aws(fields)
        case Kind.AZURE:
            question = azure(fields)
        case Kind.GCP:
            try:
                question = google(fields)
            except (ValueError, TypeError, UnsupportedAlgorithm):
                return Verdict(False, "the private_key in service_account is no RSA key: store the key file anew")
        case Kind.OPENSTACK:
            question = openstack(fields)
        case _:
            raise AssertionError(f"{kind} is no cloud")
    return ask(question, reach)


def aws(fields: Mapping[str, Any]) -> Question:
    """GetCallerIdentity of the Security Token Service, signed: needs no permission at all."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    region = fields.get("region", REGION)
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    url = fields.get("endpoint_url", f"https://sts.{region}.{domain}").rstrip("/") + "/"
    content = b"Action=GetCallerIdentity&Version=2011-06-15"
    keys = Credentials(fields["access_key_id"], fields["secret_access_key"], fields.get("session_token"))
    request = AWSRequest("POST", url, data=content, headers=FORM)
    SigV4Auth(keys, "sts", region).add_auth(request)
    return Question("AWS", "POST", url, dict(request.headers), content)


def azure(fields: Mapping[str, Any], server: str = AZURE) -> Question:
    """A token for the management of resources, by client credentials."""
    form = {
        "grant_type": "client_credentials",
        "client_id": fields["client_id"],
        "client_secret": fields["client_secret"],
        "scope": "https://management.azure.com/.default",
    }
    url = f"{server}/{quote(fields['tenant'], safe='')}/oauth2/v2.0/token"
    return Question("Azure", "POST", url, FORM, urlencode(form).encode())


def google(fields: Mapping[str, Any], server: str = GOOGLE) -> Question:
    """A token by an assertion signed with the service account's key (RFC 7523); ValueError when that is none."""
    account = json.loads(fields["service_account"])
    key = load_pem_private_key(str(account["private_key"]).encode(), None)
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("no RSA key")
    now = int(time.time())
    claims = {
        "iss": account["client_email"],
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": GOOGLE,
        "iat": now,
        "exp": now + 600,
    }
    signed = b".".join(_base64(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT"}, claims))
    assertion = signed + b"." + _base64(key.sign(signed, PKCS1v15(), SHA256()))
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion.decode()}
    return Question("Google Cloud", "POST", server, FORM, urlencode(form).encode())


def openstack(fields: Mapping[str, Any]) -> Question:
    """A token of Keystone's version 3."""
    url = fields["auth_url"].rstrip("/")
    url = url if url.endswith("/v3") else f"{url}/v3"
    return Question("Keystone", "POST", f"{url}/auth/tokens", JSON, json.dumps({"auth": _keystone(fields)}).encode())


def _keystone(fields: Mapping[str, Any]) -> dict[str, Any]:
    if "application_credential_id" in fields:
        application = {
            "id": fields["application_credential_id"],
            "secret": fields["application_credential_secret"],
        }
        return {"identity": {"methods": ["application_credential"], "application_credential": application}}
    user = {
        "name": fields["username"],
        "password": fields["password"],
        "domain": {"name": fields.get("user_domain_name", "Default")},
    }
    project = {"name": fields["project_name"], "domain": {"name": fields.get("project_domain_name", "Default")}}
    return {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": {"project": project}}


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
