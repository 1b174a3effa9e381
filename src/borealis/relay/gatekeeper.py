"""Decides about clients: which cluster one means, whether its token opens it, whether there is room; writes it down.

Everything is answered from what is cached of IAM and of the clusters; a change of either is seen at the next look.
Promises: nothing is counted against a cluster before the token has been verified, so that strangers cannot use up what
belongs to its users; one line goes to the audit log for each client that came as far as a startup packet, and neither
it nor anything that the client is told holds a token.
"""

import logging
import re
import sqlite3
import uuid
from functools import lru_cache
from pathlib import Path
from typing import Final

from borealis.audit import AuditEvent, AuditLog, AuditOutcome, AuditRecord
from borealis.clusters import Cluster, ClusterIdentifier, ClusterStatus
from borealis.clusters.names import EndpointName, InvalidName, parse_identifier
from borealis.clusters.view import ClusterView
from borealis.foundation.clock import Clock
from borealis.foundation.errors import Unavailable
from borealis.iam import IamReader, authorize, verify_token
from borealis.iam import Refused as IamRefused
from borealis.iam.caller import VerifiedCaller
from borealis.iam.context import RequestContext
from borealis.iam.errors import MalformedPolicy
from borealis.iam.policies import Policy, PolicyKind, parse_policy
from borealis.iam.tokens import ADMIN, check_user
from borealis.relay import refusals
from borealis.relay.dialogue import Claim, Grant
from borealis.relay.limits import Address, ConnectionRates
from borealis.relay.refusals import Refusal
from borealis.relay.startup_packet import DATABASE, Refused

_log = logging.getLogger("gate")
_ENDPOINTS_MAX: Final = 4_096
_ACCESS_KEY: Final = re.compile(r"X-Amz-Credential=([A-Z0-9]{16,32})%2F")
_GONE: Final = frozenset({ClusterStatus.DELETING, ClusterStatus.DELETED})
"""Clusters in these states are treated as if they had never been."""
_OUR_FAULT: Final = frozenset({refusals.SERVER_UNAVAILABLE.sqlstate, refusals.SHUTTING_DOWN.sqlstate})


class Gatekeeper:
    """What all clients of a relay have in common. It may begin before there is an account: nobody gets in then."""

    def __init__(self, control: Path, rates: ConnectionRates, audit: AuditLog, clock: Clock) -> None:
        """`control`: DATA/control."""
        self._control = control
        self._credentials: IamReader | None = None
        self.clusters = ClusterView(control / "clusters.sqlite")
        self.rates = rates
        self.audit = audit
        self.clock = clock

    def gate(self, address: Address, port: int) -> "ClientGate":
        return ClientGate(self, address, port)

    @property
    def credentials(self) -> IamReader:
        """Raises Unavailable."""
        if self._credentials is None:
            self._credentials = IamReader.open(self._control)
        return self._credentials

    def close(self) -> None:
        self.clusters.close()
        if self._credentials is not None:
            self._credentials.close()
        self.audit.close()


class ClientGate:
    """One client's way in; remembers what it learned, for the audit log."""

    __slots__ = ("_access_key", "_address", "_caller", "_claim", "_cluster", "_keeper", "_port")

    def __init__(self, keeper: Gatekeeper, address: Address, port: int) -> None:
        self._keeper = keeper
        self._address = address
        self._port = port
        self._claim: Claim | None = None
        self._cluster: Cluster | None = None
        self._caller: VerifiedCaller | None = None
        self._access_key: str | None = None

    def find_cluster(self, claim: Claim) -> None:
        """Raises Refused."""
        self._claim = claim
        wanted = _wanted(claim)
        try:
            cluster = self._keeper.clusters.get(wanted if isinstance(wanted, str) else wanted.identifier)
        except Unavailable as error:
            _log.error("a cluster cannot be looked up: %s", error)
            raise Refused(refusals.SERVER_UNAVAILABLE) from None
        if (
            cluster is None
            or cluster.status in _GONE
            or (isinstance(wanted, EndpointName) and wanted != cluster.endpoint)
        ):
            raise Refused(refusals.UNKNOWN_CLUSTER)
        self._cluster = cluster
        if not (cluster.is_connectable or cluster.is_coming):
            raise Refused(refusals.SERVER_UNAVAILABLE.with_hint(f"The cluster is {cluster.status}."))

    def admit(self, token: str) -> Grant:
        """Raises Refused."""
        assert self._claim is not None
        assert self._cluster is not None
        keeper, startup, cluster = self._keeper, self._claim.startup, self._cluster
        found = _ACCESS_KEY.search(token)
        self._access_key = found.group(1) if found else None
        now = keeper.clock.now()
        try:
            caller = verify_token(keeper.credentials, token, str(cluster.endpoint), cluster.region, now)
            self._caller = caller
            action = caller.connect_action
            assert action is not None
            check_user(startup.user, action)
            context = RequestContext(now, cluster.region, source_ip=str(self._address), resource_tags=cluster.tags)
            authorize(caller, action.permission, str(cluster.arn), context, _policy_of(cluster))
        except IamRefused as refused:
            raise Refused(refusals.ACCESS_DENIED.with_hint(refused.text)) from None
        except (Unavailable, MalformedPolicy, sqlite3.Error) as error:
            _log.error("a token cannot be checked: %s", error)
            raise Refused(refusals.SERVER_UNAVAILABLE) from None
        if startup.database != DATABASE:
            raise Refused(refusals.unknown_database(startup.database))
        if not keeper.rates.take(cluster.identifier, now):
            raise Refused(refusals.RATE_EXCEEDED)
        return Grant(cluster.identifier, caller.principal_arn, startup.user == ADMIN, cluster.is_coming)

    def report(self, refusal: Refusal | None) -> None:
        """Write down how it ended: in a session, or in a refusal."""
        if self._claim is None:
            return
        startup, caller = self._claim.startup, self._caller
        action = caller.connect_action if caller is not None else None
        self._keeper.audit.write(
            AuditRecord(
                time=self._keeper.clock.now(),
                event=AuditEvent.LOGIN,
                outcome=_outcome(refusal),
                request_id=str(uuid.uuid4()),
                source=f"{self._address}:{self._port}"
                if self._address.version == 4
                else f"[{self._address}]:{self._port}",
                action=action.permission if action is not None else None,
                resource=str(self._cluster.arn) if self._cluster is not None else None,
                principal=caller.arn if caller is not None else None,
                access_key=caller.access_key_id if caller is not None else self._access_key,
                database_user=startup.user,
                status=refusal.sqlstate if refusal is not None else "00000",
                message="; ".join(filter(None, (refusal.message, refusal.hint))) if refusal is not None else None,
                agent=dict(startup.parameters).get("application_name"),
            )
        )


def _wanted(claim: Claim) -> EndpointName | ClusterIdentifier:
    """The server name counts; a client whose name for us is no endpoint's may name the cluster in an option."""
    option = claim.startup.cluster_option
    try:
        identifier = None if option is None else parse_identifier(option)
    except InvalidName:
        raise Refused(refusals.UNKNOWN_CLUSTER) from None
    try:
        endpoint = _parse_endpoint(claim.server_name)
    except InvalidName:
        if identifier is not None:
            return identifier
        raise Refused(refusals.UNKNOWN_CLUSTER if claim.server_name else refusals.NO_SERVER_NAME) from None
    if identifier is not None and identifier != endpoint.identifier:
        raise Refused(refusals.CLUSTER_MISMATCH)
    return endpoint


@lru_cache(_ENDPOINTS_MAX)
def _parse_endpoint(server_name: str) -> EndpointName:
    """Names of at most 255 bytes, the same ones again and again."""
    return EndpointName.parse(server_name)


def _policy_of(cluster: Cluster) -> Policy | None:
    return None if cluster.policy is None else parse_policy(cluster.policy, PolicyKind.RESOURCE)


def _outcome(refusal: Refusal | None) -> AuditOutcome:
    if refusal is None:
        return AuditOutcome.ALLOWED
    return AuditOutcome.FAILED if refusal.sqlstate in _OUR_FAULT else AuditOutcome.REFUSED
