"""`borealis iam assume-role`: temporary credentials, in the name of a user of this installation."""

import os
import shlex

from borealis.cli.iam.entities import ROLE, USER, find
from borealis.cli.iam.running import Answer, Desk, show_time
from borealis.clusters.names import REGION_DEFAULT
from borealis.iam.assume_role import assume_role
from borealis.iam.caller import VerifiedCaller
from borealis.iam.context import RequestContext
from borealis.iam.errors import NotFound
from borealis.iam.store import ADMINISTRATOR


def assume(desk: Desk) -> Answer:
    options = desk.options
    role_arn = options.role if options.role.startswith("arn:") else find(desk, ROLE, options.role).arn
    user = find(desk, USER, options.as_user or ADMINISTRATOR)
    with desk.open_reader() as reader:
        entity = reader.read_entity(user.arn)
        if entity is None:
            raise NotFound(f"there is no user {user.name}")
        credentials = assume_role(
            reader,
            # Whoever can open the store on this machine may act for its users.
            VerifiedCaller(entity, None, ""),
            role_arn,
            options.session,
            RequestContext(desk.now, os.environ.get("AWS_REGION", REGION_DEFAULT)),
            os.urandom,
            duration_s=options.duration,
            policy=desk.documents.get("policy"),
            tags=tuple(options.tag),
            external_id=options.external_id,
        )
    exports = {
        "AWS_ACCESS_KEY_ID": credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": credentials.secret.reveal(),
        "AWS_SESSION_TOKEN": credentials.session_token.reveal(),
    }
    facts = {
        "access_key_id": exports["AWS_ACCESS_KEY_ID"],
        "secret_access_key": exports["AWS_SECRET_ACCESS_KEY"],
        "session_token": exports["AWS_SESSION_TOKEN"],
        "expires": show_time(credentials.expires_at),
        "arn": credentials.arn,
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in exports.items()]
    if not options.export:
        lines = [f"{name}={value}" for name, value in exports.items()]
        lines += [f"of {credentials.arn}, until {show_time(credentials.expires_at)}"]
    return Answer(facts, lines)
