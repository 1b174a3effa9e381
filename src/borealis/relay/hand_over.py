"""Brings a session that was let in to a front of its cluster.

Promises: a session is offered to another front only when the one before has certainly not used its keys, and a client
whose session nobody takes is told why. While its cluster is made or woken, a session is held.
"""

import logging
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from borealis.channel import ChannelStream
from borealis.clusters import ClusterStatus
from borealis.foundation.clock import Clock
from borealis.foundation.errors import Rejected, Unavailable
from borealis.foundation.identifiers import Timestamp
from borealis.placement import FrontAddress, FrontId, UnknownCluster
from borealis.placement.placement import Placement
from borealis.relay import refusals
from borealis.relay.dialogue import Grant, LetIn
from borealis.relay.front_links import FrontLinks
from borealis.relay.holding import Holding, NotReady
from borealis.relay.refusals import Refusal
from borealis.relay.remote_fronts import RemoteFront
from borealis.relay.settings import SessionLimits
from borealis.relay.startup_packet import CancelRequest
from borealis.relay.visitor import Visitor
from borealis.tls import TlsSession
from borealis.wire import handover as wire

_log = logging.getLogger("hand-over")
_ATTEMPTS_MAX: Final = 3
# A front that says so is ending, or has lost its Postgres; another one of the cluster may be well.
_TRY_ANOTHER: Final = frozenset({"57P01", "57P03", "XX000"})
_IS_CREATING: Final = refusals.SERVER_UNAVAILABLE.with_hint(f"The cluster is {ClusterStatus.CREATING}.")
_NOT_SERVED_HERE: Final = (refusals.UNKNOWN_CLUSTER, refusals.SERVER_UNAVAILABLE, refusals.WAKING_UP, _IS_CREATING)
_FRONT_OF_CANCEL_KEY: Final = 16
"""A cancel key's process id is front id << 16 | session number."""
_FRONT_ID_MASK: Final = 2**15 - 1


class _Offer:
    """A session on its way to somebody who may use its keys: from `seal` until `withdraw`, nobody else may."""

    def __init__(self, message: wire.HandOver, session: TlsSession) -> None:
        self._message = message
        self._session = session
        self._is_out = False

    def seal(self) -> bytearray:
        """The frame with the keys in it."""
        sealed = wire.encode_hand_over(self._message, self._session.export_bytes)
        self._session.export_into(sealed.tls_state)
        self._is_out = True
        return sealed.frame

    def withdraw(self) -> None:
        """It was certainly not taken, or refused with the keys unused."""
        if self._is_out:
            self._is_out = False
            self._session.reclaim()


class HandOvers:
    """To the fronts of this host, as placement names them; then to those behind the gateways of other hosts."""

    def __init__(
        self,
        placement: Placement,
        holding: Holding,
        remote: Sequence[RemoteFront],
        limits: SessionLimits,
        clock: Clock,
    ) -> None:
        self._placement = placement
        self._holding = holding
        self._remote = remote
        self._limits = limits
        self._clock = clock
        self._links: dict[Path, FrontLinks] = {}

    async def bring(self, visitor: Visitor, arrival: LetIn) -> Refusal | ChannelStream | None:
        """None once a front of this host has the session; a stream to forward to if one of another host has it.

        Raises Unknown if somebody may have it: then nobody else may use its keys again."""
        offer = _Offer(self._describe(visitor, arrival), arrival.session)
        try:
            refusal = await self._bring_here(visitor, arrival.grant, offer)
            for front in self._remote if refusal in _NOT_SERVED_HERE else ():
                try:
                    answer = await front.take(offer.seal)
                except Unavailable as error:
                    _log.warning("%s", error)
                    offer.withdraw()
                    continue
                if isinstance(answer, ChannelStream):
                    return answer
                offer.withdraw()
                refusal = _translate(answer)
                if answer.sqlstate not in _TRY_ANOTHER:
                    break
        except Rejected as error:
            return Refusal("malformed", "54000", error.text)
        return refusal

    async def _bring_here(self, visitor: Visitor, grant: Grant, offer: _Offer) -> Refusal | None:
        refusal: Refusal = refusals.SERVER_UNAVAILABLE
        deadline = self._holding.deadline()
        for attempt in range(_ATTEMPTS_MAX):
            try:
                front = await self._holding.find(grant, deadline, is_anew=attempt > 0)
                if not visitor.is_open:
                    return None
                answer = await self._links_to(front).take(offer.seal, visitor.connection.fileno())
            except UnknownCluster:
                return refusals.UNKNOWN_CLUSTER
            except NotReady as error:
                _log.warning("%s", error)
                return _IS_CREATING if grant.is_coming else refusals.WAKING_UP
            except Unavailable as error:
                _log.warning("%s", error)
                offer.withdraw()
                continue
            if answer is None:
                return None
            offer.withdraw()
            refusal = _translate(answer)
            if answer.sqlstate not in _TRY_ANOTHER:
                break
        return refusal

    async def cancel(self, request: CancelRequest) -> None:
        """Pass it to the front whose session it names. That there is none is nobody's business."""
        front_id = FrontId(request.process_id >> _FRONT_OF_CANCEL_KEY & _FRONT_ID_MASK)
        front = self._placement.front(front_id)
        passed_on = wire.CancelRequest(request.process_id, request.secret)
        for remote in self._remote:  # front ids are each host's own; the secret tells whose session it is
            remote.cancel(passed_on)
        if front is None:
            return
        try:
            await self._links_to(front).cancel(passed_on)
        except Unavailable as error:
            _log.warning("%s", error)

    def forget_unused(self) -> None:
        """Fronts come and go; what is kept of those that went ends here."""
        for path in [path for path, links in self._links.items() if links.is_empty]:
            del self._links[path]

    def close(self) -> None:
        for links in self._links.values():
            links.close()
        for front in self._remote:
            front.close()

    def _links_to(self, front: FrontAddress) -> FrontLinks:
        links = self._links.get(front.path)
        if links is None:
            links = self._links[front.path] = FrontLinks(front.path)
        return links

    def _describe(self, visitor: Visitor, arrival: LetIn) -> wire.HandOver:
        startup = arrival.claim.startup
        lifetime_ns = self._limits.duration_ns_max - random.randint(0, self._limits.jitter_ns)
        return wire.HandOver(
            cluster=arrival.grant.cluster,
            server_name=arrival.claim.server_name,
            database=startup.database,
            user=startup.user,
            startup_parameters=startup.parameters,
            protocol_version=startup.protocol,
            principal=arrival.grant.principal,
            action=wire.Action.DB_CONNECT_ADMIN if arrival.grant.is_admin else wire.Action.DB_CONNECT,
            client_address=visitor.address,
            client_port=visitor.port,
            deadline=Timestamp(self._clock.now() + lifetime_ns),
            is_direct_tls=arrival.is_direct_tls,
            has_alpn=arrival.has_alpn,
            unread_plaintext=arrival.unread_plaintext,
        )


def _translate(answer: wire.Refusal) -> Refusal:
    return Refusal("front_refused", answer.sqlstate, answer.message, hint=answer.hint)
