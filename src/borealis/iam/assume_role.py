"""Temporary credentials: a caller takes on a role for a while.

Owns the checks: the role's trust policy has to let the caller in (alone when it names the caller, with the caller's own
policies when it names the account), the session is no longer than the role allows, and no longer than an hour when the
caller is itself a role's session. Nothing is stored: the credentials are in the session token (`session_tokens`).

Source: AWS Security Token Service API Reference, "AssumeRole".
"""

from dataclasses import replace
from typing import Final

from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND, Timestamp
from borealis.iam import names
from borealis.iam.authorization import Decision, Source, decide, refusal
from borealis.iam.caller import VerifiedCaller
from borealis.iam.context import RequestContext
from borealis.iam.entities import SESSION_S_DEFAULT, SESSION_S_MIN
from borealis.iam.errors import NotPossible
from borealis.iam.names import EntityKind, RandomBytes
from borealis.iam.policies import SESSION_POLICY_CHARACTERS_MAX, PolicyKind, check_length, parse_policy
from borealis.iam.reader import IamReader
from borealis.iam.records import TemporaryCredentials
from borealis.iam.secret import Secret
from borealis.iam.session_tokens import SessionContents, seal_session

ASSUME_ROLE: Final = "sts:AssumeRole"
TAG_SESSION: Final = "sts:TagSession"
CHAINED_SESSION_S_MAX: Final = 3600
TAGS_MAX: Final = 50


def assume_role(
    reader: IamReader,
    caller: VerifiedCaller,
    role_arn: str,
    session_name: str,
    context: RequestContext,
    random: RandomBytes,
    *,
    duration_s: int = SESSION_S_DEFAULT,
    policy: str | None = None,
    tags: tuple[tuple[str, str], ...] = (),
    external_id: str | None = None,
) -> TemporaryCredentials:
    """Raises AuthorizationRefused (a role that is not there answers like one that does not name the caller),
    NotPossible, InvalidName, MalformedPolicy."""
    names.check_session_name(session_name)
    _check_tags(tags)
    if policy is not None:
        check_length(policy, PolicyKind.IDENTITY, SESSION_POLICY_CHARACTERS_MAX)
        parse_policy(policy, PolicyKind.IDENTITY)
    role = reader.find_role(role_arn)
    if role is None:
        raise refusal(caller, ASSUME_ROLE, role_arn, Decision(False, Source.RESOURCE))
    record, entity = role
    facts = {"sts:rolesessionname": (session_name,)}
    if external_id is not None:
        facts["sts:externalid"] = (external_id,)
    asked = replace(context, resource_tags=dict(entity.tags), request_tags=dict(tags), more={**context.more, **facts})
    trust_policy = parse_policy(record.trust_policy or "", PolicyKind.TRUST)
    for action in (ASSUME_ROLE, TAG_SESSION) if tags else (ASSUME_ROLE,):
        decision = decide(caller, action, role_arn, asked, trust_policy, needs_grant=True)
        if not decision.is_allowed:
            raise refusal(caller, action, role_arn, decision)
    longest_s = record.session_s_max or SESSION_S_DEFAULT
    if caller.entity.kind is EntityKind.ROLE:
        longest_s = min(longest_s, CHAINED_SESSION_S_MAX)
    if not SESSION_S_MIN <= duration_s <= longest_s:
        raise NotPossible(f"a session of this role lasts {SESSION_S_MIN} to {longest_s} seconds, not {duration_s}")
    # Whole seconds, as the token has them: a session must not say one thing here and another there.
    issued_at = Timestamp(context.now - context.now % NANOSECONDS_PER_SECOND)
    contents = SessionContents(
        names.make_access_key_id(names.TEMPORARY_PREFIX, random),
        Secret(names.make_secret(random)),
        entity.id,
        session_name,
        issued_at,
        Timestamp(issued_at + duration_s * NANOSECONDS_PER_SECOND),
        policy,
        tags,
    )
    return TemporaryCredentials(
        contents.access_key_id,
        contents.secret,
        Secret(seal_session(contents, reader.sessions_seal, random)),
        contents.expires_at,
        names.session_arn(entity.account, entity.name, session_name),
        f"{entity.id}:{session_name}",
    )


def _check_tags(tags: tuple[tuple[str, str], ...]) -> None:
    tag_names = [name.lower() for name, _ in tags]
    if len(tags) > TAGS_MAX or len(frozenset(tag_names)) != len(tags):
        raise NotPossible(f"a session has at most {TAGS_MAX} tags, each once (case does not count)")
    for name, value in tags:
        names.check_tag(name, value)
