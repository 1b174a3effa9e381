"""A request of the API from its bytes to its answer: who sends it, what it means, whether it may, what happens.

The order is fixed: the signature comes first, so that nobody unknown learns anything; then the rate, the model, the
permissions. Every request leaves a line in the audit log, whatever became of it.
"""

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from borealis.audit import AuditEvent, AuditLog, AuditOutcome, AuditRecord
from borealis.control.answers import HttpAnswer, encode_error, encode_result, make_request_id
from borealis.control.call import Call
from borealis.control.cluster_operations import ClusterOperations, Surroundings
from borealis.control.errors import ApiError, ValidationReason, internal, throttled, validation
from borealis.control.http_request import HttpRequest
from borealis.control.policy_operations import PolicyOperations
from borealis.control.routing import Route, find_route
from borealis.control.tag_operations import TagOperations
from borealis.control.throttle import Throttle
from borealis.control.validation import gather, parse_body
from borealis.foundation.clock import Clock
from borealis.foundation.errors import BorealisError, InvariantViolation
from borealis.iam.caller import VerifiedCaller
from borealis.iam.credentials import CredentialSource
from borealis.iam.refusals import Refused
from borealis.iam.signed_requests import SignedRequest, verify_request
from borealis.iam.sigv4 import parse_query

_log = logging.getLogger("api")
_RATE_QUOTA: Final = "calls-per-second"
_RETRY_S: Final = 1

Operate = Callable[[Call], Awaitable[dict[str, Any]]]


@dataclass
class _Known:
    """What has become known of a request, for the audit log, however far it came."""

    action: str | None = None
    resource: str | None = None
    caller: VerifiedCaller | None = None


class Api:
    def __init__(
        self,
        around: Surroundings,
        credentials: CredentialSource,
        throttle: Throttle,
        audit: AuditLog,
        clock: Clock,
        *,
        is_secure: bool,
    ) -> None:
        self._around = around
        self._credentials = credentials
        self._throttle = throttle
        self._audit = audit
        self._clock = clock
        self._is_secure = is_secure
        self._region = around.store.installation.region
        clusters = ClusterOperations(around)
        policies = PolicyOperations(around.store, around.permissions, clusters)
        tags = TagOperations(around.store, around.permissions)
        self._operations: Mapping[str, Operate] = {
            "CreateCluster": clusters.create,
            "GetCluster": clusters.get,
            "UpdateCluster": clusters.update,
            "DeleteCluster": clusters.delete,
            "ListClusters": clusters.list,
            "GetVpcEndpointServiceName": clusters.get_vpc_endpoint_service_name,
            "PutClusterPolicy": policies.put,
            "GetClusterPolicy": policies.get,
            "DeleteClusterPolicy": policies.delete,
            "TagResource": tags.tag,
            "UntagResource": tags.untag,
            "ListTagsForResource": tags.list,
        }

    async def answer(self, request: HttpRequest) -> HttpAnswer:
        """Raises nothing but InvariantViolation."""
        known = _Known()
        request_id = make_request_id()
        error: ApiError | None = None
        try:
            result = await self._perform(request, known)
        except ApiError as refusal:
            error = refusal
        except Refused as refusal:
            error = ApiError(refusal.api_error.code, refusal.api_error.status, refusal.text)
        except InvariantViolation:
            raise
        except (BorealisError, sqlite3.Error) as failure:
            _log.error("request %s failed: %s", request_id, failure)
            error = internal("The request could not be carried out. Try again.", _RETRY_S)
        except Exception:
            _log.exception("request %s failed", request_id)
            error = internal("An internal error occurred.")
        self._record(request, request_id, known, error)
        return encode_result(result, request_id) if error is None else encode_error(error, request_id)

    async def _perform(self, request: HttpRequest, known: _Known) -> dict[str, Any]:
        now = self._clock.now()
        path, _, query = request.target.partition("?")
        signed = SignedRequest(request.method, path, query, request.headers, request.body)
        known.caller = caller = verify_request(self._credentials, signed, self._region, now)
        wait_s = self._throttle.take(caller.account, now)
        if wait_s is not None:
            raise throttled("Rate exceeded.", _RATE_QUOTA, wait_s)
        route = find_route(request.method, path)
        known.action, known.resource = route.operation.action, _named_resource(route)
        operate = self._operations.get(route.operation.name)
        if operate is None or route.operation.input is None:
            text = f"{route.operation.name} is not supported here: there are no streams."
            raise validation(ValidationReason.OTHER, text)
        fields = gather(route.operation.input, route.labels, _group(parse_query(query)), parse_body(request.body))
        result = await operate(Call(route.operation, fields, caller, now, request.source_ip, self._is_secure))
        known.resource = known.resource or result.get("identifier")  # of a new cluster
        return result

    def _record(self, request: HttpRequest, request_id: str, known: _Known, error: ApiError | None) -> None:
        caller = known.caller
        self._audit.write(
            AuditRecord(
                time=self._clock.now(),
                event=AuditEvent.API_CALL,
                outcome=_outcome(error),
                request_id=request_id,
                source=request.source,
                action=known.action,
                resource=known.resource,
                principal=caller.arn if caller else None,
                access_key=caller.access_key_id if caller else None,
                status=error.code if error else None,
                message=error.message if error else None,
                agent=next((value for name, value in request.headers if name == "user-agent"), None),
            )
        )


def _outcome(error: ApiError | None) -> AuditOutcome:
    if error is None:
        return AuditOutcome.ALLOWED
    return AuditOutcome.FAILED if error.status >= 500 else AuditOutcome.REFUSED


def _named_resource(route: Route) -> str | None:
    """As the caller named it, an identifier or an ARN."""
    return next(iter(route.labels.values()), None)


def _group(parameters: list[tuple[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in parameters:
        grouped.setdefault(name, []).append(value)
    return grouped
