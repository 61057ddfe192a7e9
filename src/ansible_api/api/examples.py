"""Examples for the OpenAPI document: one for each form that a request or an answer may have."""

from collections.abc import Mapping
from typing import Any

REPO = "git@github.com:org/ansible-playbooks.git"
PLAYBOOK = {
    "type": "playbook",
    "repo": REPO,
    "branch": "main",
    "path": "deploy/webserver.yml",
    "git_credential": "github-deploy-key",
}
INLINE = {
    "type": "inline",
    "hosts": ["10.0.1.10", "10.0.1.11"],
    "groups": {"webservers": ["10.0.1.10"], "databases": ["10.0.1.11"]},
    "host_vars": {"10.0.1.10": {"http_port": 8080}},
}
OPTIONS = {
    "timeout": 3600,
    "callback_url": "https://ci.example.com/webhook",
    "tags": ["deploy", "config"],
    "skip_tags": ["debug"],
    "limit": "webservers",
    "verbosity": 2,
    "check_mode": False,
    "diff_mode": True,
    "forks": 10,
}
ROLE = {
    "type": "role",
    "repo": "git@github.com:org/ansible-roles.git",
    "branch": "v2.0.0",
    "path": "roles/nginx",
    "role_vars": {"nginx_port": 8080},
}
COLLECTION_ROLE = {
    "type": "collection_role",
    "collection": "community.general",
    "role": "docker_swarm",
    "version": ">=6.0.0",
    "galaxy_server": "https://galaxy.ansible.com",
    "role_vars": {"swarm_manager": True},
}
PRIVATE_ROLE = {
    "type": "collection_role",
    "collection": "mycompany.internal",
    "role": "app_deploy",
    "version": "1.2.0",
    "galaxy_server": "https://hub.internal.com/api/galaxy/",
    "galaxy_credential": "automation-hub-token",
}
DYNAMIC = {
    "type": "dynamic",
    "plugin": "amazon.aws.aws_ec2",
    "config": {
        "regions": ["us-west-2"],
        "filters": {"tag:Environment": "production"},
        "keyed_groups": [{"key": "tags.Role", "prefix": "role"}],
    },
    "cloud_credential": "aws-prod",
}
GIT_INVENTORY = {
    "type": "git",
    "repo": "git@github.com:org/inventory.git",
    "branch": "main",
    "path": "production/hosts.yml",
    "git_credential": "github-deploy-key",
}
URL_INVENTORY = {
    "type": "url",
    "url": "https://cmdb.internal.com/api/ansible/inventory",
    "format": "yaml",
    "headers": {"Authorization": "Bearer ${CMDB_TOKEN}"},
    "credential": "cmdb-api-token",
}
STORED = {"ssh": "prod-ssh-key", "become_password": "prod-become", "vault_password": "prod-vault"}
VAULT = {
    "ssh": {
        "type": "hashicorp_vault",
        "vault_path": "secret/ansible/prod-ssh",
        "vault_key": "private_key",
        "vault_credential": "hcp-vault-token",
    },
    "become_password": {
        "type": "hashicorp_vault",
        "vault_path": "secret/ansible/prod-become",
        "vault_key": "password",
    },
}
CLOUD = {"ssh": "prod-ssh-key", "cloud": {"type": "aws", "credential": "aws-prod"}}
MIXED = {"ssh": "prod-ssh-key", "become_password": {"type": "hashicorp_vault", "vault_path": "secret/sudo/prod"}}


def _job(summary: str, source: Any = PLAYBOOK, inventory: Any = INLINE, **more: Any) -> dict[str, Any]:
    return {"summary": summary, "value": {"source": source, "inventory": inventory, **more}}


JOBS: Mapping[str, Any] = {
    "smallest": _job(
        "The smallest request",
        source={"type": "playbook", "repo": "https://github.com/org/playbooks.git", "path": "site.yml"},
        inventory={"type": "inline", "hosts": ["web1.example.com"]},
    ),
    "playbook": _job(
        "A playbook with stored credentials, variables and options",
        credentials=STORED,
        extra_vars={"release": "2026.1"},
        options=OPTIONS,
    ),
    "several_playbooks": _job(
        "Several playbooks, one after the other", source={**PLAYBOOK, "path": ["prepare.yml", "deploy/webserver.yml"]}
    ),
    "role": _job("A role from git", source=ROLE),
    "collection_role": _job("A role from a Galaxy collection", source=COLLECTION_ROLE),
    "private_collection_role": _job("A role from a private Automation Hub", source=PRIVATE_ROLE),
    "dynamic_inventory": _job("Hosts from an inventory plugin", inventory=DYNAMIC),
    "git_inventory": _job("An inventory file from git", inventory=GIT_INVENTORY),
    "url_inventory": _job("An inventory from an HTTP server", inventory=URL_INVENTORY),
    "vault_credentials": _job("Credentials from HashiCorp Vault", credentials=VAULT),
    "cloud_credentials": _job("Credentials of a cloud", credentials=CLOUD),
    "mixed_credentials": _job("Stored credentials and HashiCorp Vault", credentials=MIXED),
}

RELAUNCHES: Mapping[str, Any] = {
    "whole": {"summary": "The same once more", "value": {}},
    "failed": {"summary": "Only the hosts that failed or were unreachable", "value": {"hosts": "failed"}},
    "latest": {"summary": "From what the branch names now", "value": {"commit": "latest"}},
}

CREDENTIALS: dict[str, Any] = {
    "ssh_key": {
        "summary": "A key for managed hosts",
        "value": {
            "name": "prod-ssh-key",
            "kind": "ssh_key",
            "username": "deploy",
            "private_key": "-----BEGIN OPENSSH PRIVATE KEY-----\n…\n-----END OPENSSH PRIVATE KEY-----\n",
            "known_hosts": "10.0.1.10 ssh-ed25519 AAAA…",
        },
    },
    "become_password": {
        "summary": "A become password",
        "value": {"name": "prod-become", "kind": "become_password", "password": "…"},
    },
    "vault_password": {
        "summary": "A password of Ansible Vault",
        "value": {"name": "prod-vault", "kind": "vault_password", "password": "…"},
    },
    "git_token": {
        "summary": "User and token for git over https",
        "value": {"name": "github-token", "kind": "git", "username": "x-access-token", "token": "…"},
    },
    "git_key": {
        "summary": "A deploy key for git over ssh",
        "value": {
            "name": "github-deploy-key",
            "kind": "git",
            "private_key": "-----BEGIN OPENSSH PRIVATE KEY-----\n…\n-----END OPENSSH PRIVATE KEY-----\n",
            "known_hosts": "github.com ssh-ed25519 AAAA…",
        },
    },
}

CREDENTIALS |= {
    name: {"summary": summary, "value": {"name": name.replace("_", "-"), "kind": kind, **fields}}
    for name, kind, summary, fields in (
        ("prod_ssh_password", "ssh_password", "A password for managed hosts", {"username": "deploy", "password": "…"}),
        ("automation_hub_token", "galaxy_token", "A token of a Galaxy server", {"token": "…"}),
        (
            "aws_prod",
            "aws",
            "An access key of AWS",
            {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "…", "region": "us-west-2"},
        ),
        (
            "azure_prod",
            "azure",
            "A service principal of Azure",
            {"tenant": "contoso.example", "client_id": "5d1c", "client_secret": "…", "subscription_id": "9a3f"},
        ),
        (
            "gcp_prod",
            "gcp",
            "A service account of Google Cloud",
            {"service_account": '{"client_email": "ansible@prod.example", "private_key": "…"}', "project": "prod"},
        ),
        (
            "openstack_prod",
            "openstack",
            "A user of OpenStack",
            {
                "auth_url": "https://keystone.example.com:5000/v3",
                "username": "ansible",
                "password": "…",
                "project_name": "prod",
            },
        ),
        ("hcp_vault_token", "hashicorp_vault", "A token of Vault", {"url": "https://vault.example.com", "token": "…"}),
        (
            "hcp_vault_approle",
            "hashicorp_vault",
            "An AppRole of Vault",
            {"url": "https://vault.example.com", "role_id": "…", "secret_id": "…", "namespace": "ops"},
        ),
        ("cmdb_api_token", "http", "Values for headers of HTTP requests", {"variables": {"CMDB_TOKEN": "…"}}),
        ("deploy_environment", "environment", "Variables of the play", {"variables": {"DEPLOY_TOKEN": "…"}}),
    )
}

CREDENTIAL_TESTS: Mapping[str, Any] = {
    "no_more": {"summary": "Where the credential itself says whom to ask", "value": {}},
    "git": {"summary": "On a repository", "value": {"repo": REPO}},
    "vault": {"summary": "On a secret of Vault", "value": {"vault_path": "secret/ansible/prod-ssh"}},
    "galaxy": {"summary": "On a Galaxy server", "value": {"galaxy_server": PRIVATE_ROLE["galaxy_server"]}},
    "http": {
        "summary": "On an HTTP server",
        "value": {"url": URL_INVENTORY["url"], "headers": URL_INVENTORY["headers"]},
    },
}

KEYS: Mapping[str, Any] = {
    "ci": {
        "summary": "A key for a pipeline",
        "value": {
            "name": "ci of the shop",
            "role": "submitter",
            "queues": ["default", "long-running"],
            "expires_at": "2030-01-01T00:00:00Z",
        },
    },
    "viewer": {"summary": "A key that only reads", "value": {"name": "dashboard", "role": "viewer"}},
}

JOB_ID = "job-00t426f5fgv8pzy56z5b383"
JOB_QUEUED: Mapping[str, Any] = {
    "id": JOB_ID,
    "status": "queued",
    "phase": "queued",
    "created_at": "2026-01-15T10:00:00Z",
    "started_at": None,
    "finished_at": None,
    "cancel_requested_at": None,
    "queue": "default",
    "priority": 5,
    "route_reason": "nothing special",
    "attempt": 0,
    "attempts": [],
    "why_waiting": {
        "reason": "busy",
        "position": 2,
        "message": "4 jobs run on the 4 slots that serve the queue default, and 1 wait before this one",
    },
    "next_attempt_at": None,
    "last_error": None,
    "source": {**PLAYBOOK, "commit": None, "cache": None},
    "dependencies": None,
    "inventory": None,
    "plan": None,
    "artifacts": None,
    "relaunch_of": None,
    "key_id": "5d0c9f4e8b7a6c3d2e1f0a9b",
    "options": {**OPTIONS, "priority": 5},
    "progress": {"current_play": None, "current_task": None, "hosts_ok": 0, "hosts_failed": 0, "hosts_pending": 2},
    "timings": {},
    "return_code": None,
    "error": None,
    "log_status": "pending",
    "log_url": f"https://ansible.example.com/api/v1/jobs/{JOB_ID}/logs",
}

DELIVERY: Mapping[str, Any] = {
    "id": "msg-06b5k1x9m3wq2tc8r4hz7ne",
    "job_id": "job-06b5k1v2e8ay5nd0p6gs1tj",
    "url": "https://ci.example.com/webhook",
    "state": "pending",
    "sending": False,
    "due_at": "2026-01-15T10:37:41.204000Z",
    "created_at": "2026-01-15T10:30:00Z",
    "ended_at": None,
    "attempts": [
        {
            "number": 1,
            "started_at": "2026-01-15T10:32:35.530000Z",
            "duration_ms": 41,
            "status": 503,
            "error": None,
            "answer": "back in five minutes",
        }
    ],
}
DELIVERY_AGAIN: Mapping[str, Any] = {**DELIVERY, "due_at": "2026-01-15T10:33:00Z"}
