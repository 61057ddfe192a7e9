"""Which credentials fit at which place of a request, what is checked of them at submission, and what is sealed."""

from collections.abc import Iterator, Mapping

from sqlalchemy.orm import Session

from ansible_api.credentials import store
from ansible_api.credentials.addresses import address_errors
from ansible_api.credentials.cipher import Cipher
from ansible_api.credentials.model import Kind
from ansible_api.credentials.refs import HashicorpVaultRef, InlineCredential, Wanted
from ansible_api.egress import Policy
from ansible_api.errors import FieldError
from ansible_api.jobs.spec import JobSpec

MOST_NAMES = 5
CLOUDS = frozenset({Kind.AWS, Kind.AZURE, Kind.GCP, Kind.OPENSTACK})
VAULTS = frozenset({Kind.HASHICORP_VAULT})
FITTING: Mapping[str, frozenset[Kind]] = {
    "ssh": frozenset({Kind.SSH_KEY, Kind.SSH_PASSWORD}),
    "become_password": frozenset({Kind.BECOME_PASSWORD}),
    "vault_password": frozenset({Kind.VAULT_PASSWORD}),
    "environment": frozenset({Kind.ENVIRONMENT}),
    "git_credential": frozenset({Kind.GIT, Kind.SSH_KEY}),
    "galaxy_credential": frozenset({Kind.GALAXY_TOKEN}),
    "cloud_credential": CLOUDS | {Kind.ENVIRONMENT},
    "credential": frozenset({Kind.HTTP}),
    "vault_credential": VAULTS,
}
# The same places as people look for them in a request; {n}: in a list of inventories or credentials.
PLACES: Mapping[str, tuple[str, ...]] = {
    "git_credential": ("/source/git_credential", "/inventory/git_credential"),
    "galaxy_credential": ("/source/galaxy_credential",),
    "cloud_credential": ("/inventory/cloud_credential",),
    "credential": ("/inventory/credential",),
    "vault_credential": tuple(
        f"/credentials/{name}/vault_credential" for name in ("ssh", "become_password", "vault_password")
    ),
}


def uses(kind: Kind) -> list[str]:
    """Where a request may name a credential of a kind, as JSON Pointers; lists have a number more."""
    places = [place for name, kinds in FITTING.items() if kind in kinds for place in _places(name)]
    return [*places, "/credentials/cloud/credential"] if kind in CLOUDS else places


def wanted(spec: JobSpec) -> list[Wanted]:
    """Every credential that a request names, with its place and the kinds that fit there."""
    return [Wanted(place, ref, _fitting(spec, place)) for place, ref in spec.credential_refs()]


def inline_errors(spec: JobSpec, policy: Policy) -> Iterator[FieldError]:
    """What is wrong with the values that came with a request; needs no database."""
    for one in wanted(spec):
        if not isinstance(one.ref, InlineCredential):
            continue
        value = one.ref.value
        if value is None:
            yield FieldError(f"{one.place}/value", "required, but absent")
        elif value.kind not in one.fitting:
            yield FieldError(f"{one.place}/value/kind", _misfit("this", value.kind, one.fitting))
        else:
            yield from address_errors(value, policy, f"{one.place}/value")


def errors(session: Session, team: str, spec: JobSpec) -> list[FieldError]:
    """Names that the team's credentials do not have, or that are of another kind than their place wants."""
    named = list(_named(spec))
    kinds = store.kinds(session, team, [name for _, name, _ in named])
    found = [*_vault_errors(session, team, spec)]
    for pointer, name, fitting in named:
        if name not in kinds:
            detail = f"there is no credential {name!r}: create it with POST /api/v1/credentials"
            found.append(FieldError(pointer, detail))
        elif kinds[name] not in fitting:
            found.append(FieldError(pointer, _misfit(repr(name), kinds[name], fitting)))
    return found


def keep(session: Session, cipher: Cipher, team: str, job_id: str, spec: JobSpec) -> None:
    """Seal the values that came with a request; the row of its job holds none of them."""
    for place, ref in spec.credential_refs():
        if isinstance(ref, InlineCredential) and ref.value is not None:
            store.keep_for_job(session, cipher, team, job_id, place, ref.value)


def _places(name: str) -> tuple[str, ...]:
    return PLACES.get(name, (f"/credentials/{name}",))


def _fitting(spec: JobSpec, place: str) -> frozenset[Kind]:
    parts = place.strip("/").split("/")
    if parts[:2] == ["credentials", "cloud"]:
        clouds = spec.credentials.cloud
        cloud = clouds[int(parts[2])] if isinstance(clouds, list) else clouds
        return frozenset({Kind(cloud.type)} if cloud else ())
    name = parts[1] if parts[0] == "credentials" else parts[-1]
    return FITTING[name]


def _named(spec: JobSpec) -> Iterator[tuple[str, str, frozenset[Kind]]]:
    """Pointer, name and fitting kinds of every stored credential that a request needs."""
    for one in wanted(spec):
        if isinstance(one.ref, str):
            yield one.place, one.ref, one.fitting
        elif isinstance(one.ref, HashicorpVaultRef) and one.ref.vault_credential is not None:
            yield f"{one.place}/vault_credential", one.ref.vault_credential, VAULTS


def _vault_errors(session: Session, team: str, spec: JobSpec) -> Iterator[FieldError]:
    """A reference to Vault that names no credential means the team's only one."""
    unnamed = [
        place
        for place, ref in spec.credential_refs()
        if isinstance(ref, HashicorpVaultRef) and ref.vault_credential is None
    ]
    names = store.names_of_kind(session, team, Kind.HASHICORP_VAULT) if unnamed else ()
    if len(names) == 1:
        return
    detail = "your team has no credential of kind hashicorp_vault: create one with POST /api/v1/credentials"
    if names:
        shown = ", ".join(names[:MOST_NAMES]) + (" …" if len(names) > MOST_NAMES else "")
        detail = f"your team has several credentials of kind hashicorp_vault, so name one: {shown}"
    for place in unnamed:
        yield FieldError(f"{place}/vault_credential", detail)


def _misfit(what: str, kind: Kind, fitting: frozenset[Kind]) -> str:
    return f"{what} is of kind {kind}; needed here: {' or '.join(sorted(fitting))}"
