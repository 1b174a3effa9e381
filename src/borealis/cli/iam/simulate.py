"""`borealis iam simulate`: may somebody do something, and if not, why."""

import os

from borealis.cli.iam.entities import ROLE, USER, find
from borealis.cli.iam.running import Answer, Desk
from borealis.clusters.names import REGION_DEFAULT
from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND, Timestamp
from borealis.iam.authorization import decide
from borealis.iam.caller import Session, VerifiedCaller
from borealis.iam.context import RequestContext
from borealis.iam.errors import NotFound
from borealis.iam.policies import PolicyKind, parse_policy


def simulate(desk: Desk) -> Answer:
    options = desk.options
    record = find(desk, USER, options.user) if options.user else find(desk, ROLE, options.role)
    with desk.open_reader() as reader:
        entity = reader.read_entity(record.arn)
    if entity is None:
        raise NotFound(f"there is no {record.kind.value} {record.name}")
    session = None
    if options.role:
        session = Session("simulation", desk.now, Timestamp(desk.now + 3600 * NANOSECONDS_PER_SECOND))
    caller = VerifiedCaller(entity, session, "")
    document = desk.documents.get("resource_policy")
    region = options.resource.split(":")[3] if options.resource.count(":") >= 5 else ""
    decision = decide(
        caller,
        options.action,
        options.resource,
        RequestContext(
            desk.now,
            region or os.environ.get("AWS_REGION", REGION_DEFAULT),
            options.source_ip,
            resource_tags=dict(options.resource_tag),
        ),
        parse_policy(document, PolicyKind.RESOURCE) if document is not None else None,
    )
    answer = "allowed" if decision.is_allowed else "denied"
    reason = decision.reason(options.action)
    return Answer({"decision": answer, "reason": reason}, [f"{answer} {reason}".rstrip()])
