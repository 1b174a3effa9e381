"""Client tokens: a request that is repeated happens once, and is answered as it was the first time."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from borealis.clusters.store import AnsweredRequest, ClusterStore
from borealis.control.call import Call
from borealis.control.errors import conflict

TOKEN = "clientToken"


def perform_once(store: ClusterStore, call: Call, perform: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `perform` gives, or gave: it runs in the transaction that also keeps its answer, so that either both are
    kept or none. Raises ApiError (ConflictException) if the token came with other parameters."""
    token = call.fields.get(TOKEN)
    with store.transaction():
        if token is None:
            return perform()
        parameters = digest_parameters(call.fields)
        account, operation = call.caller.account, call.operation.name
        found = store.find_answer(account, operation, token, call.now)
        if found is not None:
            if found.parameters != parameters:
                raise conflict("The client token was used before, with other parameters. Use a new one.")
            answer: dict[str, Any] = json.loads(found.answer)
            return answer
        answer = perform()
        store.record_answer(AnsweredRequest(account, operation, token, parameters, json.dumps(answer), call.now))
        return answer


def digest_parameters(fields: dict[str, Any]) -> bytes:
    """SHA-256 of everything but the token, in canonical JSON."""
    asked = {name: value for name, value in fields.items() if name != TOKEN}
    return hashlib.sha256(json.dumps(asked, sort_keys=True, separators=(",", ":")).encode()).digest()
