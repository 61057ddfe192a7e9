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


def _later(summary: str, **parts: Any) -> dict[str, Any]:
    return _job(f"{summary} (not supported yet)", **parts)


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
    "role": _later("A role from git", source=ROLE),
    "collection_role": _later("A role from a Galaxy collection", source=COLLECTION_ROLE),
    "private_collection_role": _later("A role from a private Automation Hub", source=PRIVATE_ROLE),
    "dynamic_inventory": _later("Hosts from an inventory plugin", inventory=DYNAMIC),
    "git_inventory": _later("An inventory file from git", inventory=GIT_INVENTORY),
    "url_inventory": _later("An inventory from an HTTP server", inventory=URL_INVENTORY),
    "vault_credentials": _later("Credentials from HashiCorp Vault", credentials=VAULT),
    "cloud_credentials": _later("Credentials of a cloud", credentials=CLOUD),
    "mixed_credentials": _later("Stored credentials and HashiCorp Vault", credentials=MIXED),
}

CREDENTIALS: Mapping[str, Any] = {
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
    "next_attempt_at": None,
    "last_error": None,
    "source": {**PLAYBOOK, "commit": None, "cache": None},
    "options": {**OPTIONS, "priority": 5},
    "progress": {"current_play": None, "current_task": None, "hosts_ok": 0, "hosts_failed": 0, "hosts_pending": 2},
    "timings": {},
    "return_code": None,
    "error": None,
    "log_status": "pending",
    "log_url": f"https://ansible.example.com/api/v1/jobs/{JOB_ID}/logs",
}
JOB_RUNNING: Mapping[str, Any] = {
    **JOB_QUEUED,
    "status": "running",
    "phase": "playing",
    "attempt": 1,
    "started_at": "2026-01-15T10:00:05Z",
    "source": {**PLAYBOOK, "commit": "9fceb02d0ae598e95dc970b74767f19372d61af8", "cache": "hit"},
    "progress": {
        "current_play": "Deploy application",
        "current_task": "Copy files",
        "hosts_ok": 1,
        "hosts_failed": 0,
        "hosts_pending": 1,
    },
    "timings": {"queued": 0.1, "source": 0.2},
}
