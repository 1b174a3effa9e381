"""Fronts on other hosts, behind the gateways of those hosts: sessions go there over channels (`borealis.channel`).

A channel is opened when it is needed first and again after it was lost. The relay goes on forwarding the session's
ciphertext, which it can no longer read.
"""

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from borealis.channel import Channel, ChannelLost, ChannelStream, connect_channel
from borealis.foundation.errors import Unavailable, Unknown
from borealis.tls.handshake import ChannelContext
from borealis.wire.handover import CancelRequest, Refusal

ANSWER_SECONDS_MAX: Final = 30.0


class GatewayAddress(NamedTuple):
    """`name` is what the gateway's certificate has to say."""

    name: str
    host: str
    port: int


class RemoteFront:
    """What is behind one gateway."""

    def __init__(self, gateway: GatewayAddress, context: ChannelContext) -> None:
        self._gateway = gateway
        self._context = context
        self._channel: Channel | None = None
        self._connecting = asyncio.Lock()

    async def take(self, seal: Callable[[], bytearray]) -> ChannelStream | Refusal:
        """Offer a session. Raises Unavailable if it has certainly not been offered, Unknown if nobody knows."""
        channel = await self._open()
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                return await channel.hand_over(seal())
        except (ChannelLost, TimeoutError) as error:
            raise Unknown(f"{self._gateway.name} did not answer while it took a session") from error

    def cancel(self, request: CancelRequest) -> None:
        """To a session that is already there, if it is: no channel is opened for it."""
        if self._channel is not None and not self._channel.is_lost:
            self._channel.cancel(request)

    async def _open(self) -> Channel:
        async with self._connecting:
            if self._channel is None or self._channel.is_lost:
                name, host, port = self._gateway
                try:
                    self._channel = await connect_channel(host, port, self._context, name)
                except (OSError, TimeoutError) as error:
                    raise Unavailable(f"no channel to {name}: {error}") from error
            return self._channel

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
