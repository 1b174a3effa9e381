"""Why a host could not start: a sentence for the operator, saying what happened and what to do."""

from borealis.foundation.errors import Unavailable


class HostError(Unavailable):
    pass
