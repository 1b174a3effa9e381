"""The channel between a relay and the fronts of another host: mutually authenticated TLS, many sessions on it.

The relay's side connects (`connect_channel`) and offers sessions with the same message that goes to a front on its own
host (`Channel.hand_over`); it keeps the client's socket and copies ciphertext that it can no longer read (`forward`).
The other side is a `Gateway`. Promises: both hosts are known to each other before a session is offered; what is under
way is bounded for each session; a session that stands still does not hold up the others.
"""

from borealis.channel.connection import Channel, ChannelLost, connect_channel
from borealis.channel.gateway import Gateway
from borealis.channel.stream import ChannelStream, forward

__all__ = ["Channel", "ChannelLost", "ChannelStream", "Gateway", "connect_channel", "forward"]
