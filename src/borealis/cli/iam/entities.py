"""`borealis iam user`, `group` and `role`."""

import json
from typing import Final

from borealis.cli.iam.running import Answer, Desk, Facts, show_time, table
from borealis.iam.names import EntityKind
from borealis.iam.records import EntityRecord

USER: Final = EntityKind.USER
GROUP: Final = EntityKind.GROUP
ROLE: Final = EntityKind.ROLE


def find(desk: Desk, kind: EntityKind, name: str | None = None) -> EntityRecord:
    """The entity that the command line names. Raises NotFound."""
    return desk.store.entities.get(desk.account, kind, desk.options.name if name is None else name)


def create_user(desk: Desk) -> Answer:
    options = desk.options
    user = desk.store.entities.create_user(
        desk.account, options.name, desk.now, path=options.path, description=options.description
    )
    return _made(desk, user)


def create_group(desk: Desk) -> Answer:
    options = desk.options
    group = desk.store.entities.create_group(
        desk.account, options.name, desk.now, path=options.path, description=options.description
    )
    return _made(desk, group)


def create_role(desk: Desk) -> Answer:
    options = desk.options
    role = desk.store.entities.create_role(
        desk.account,
        options.name,
        trust_document(desk),
        desk.now,
        path=options.path,
        description=options.description,
        session_s_max=options.max_session,
    )
    return _made(desk, role)


def set_trust(desk: Desk) -> Answer:
    role = find(desk, ROLE)
    desk.store.entities.set_trust_policy(role, trust_document(desk))
    return Answer({"arn": role.arn}, [f"{role.arn}: trust policy replaced"])


def trust_document(desk: Desk) -> str:
    """The file that was given, or a policy that lets in the principals that were named, or the account itself."""
    given = desk.documents.get("trust_policy")
    if given is not None:
        return given
    principals = desk.options.trust or [desk.account]
    statement = {"Effect": "Allow", "Principal": {"AWS": principals}, "Action": ["sts:AssumeRole", "sts:TagSession"]}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _made(desk: Desk, entity: EntityRecord) -> Answer:
    desk.store.entities.set_tags(entity, desk.options.tag)
    return Answer(facts_of(entity), [f"{entity.kind.value} {entity.name} made: {entity.arn}"])


def facts_of(entity: EntityRecord) -> Facts:
    facts: Facts = {
        "id": entity.id,
        "name": entity.name,
        "arn": entity.arn,
        "description": entity.description,
        "created": show_time(entity.created_at),
    }
    if entity.kind is not GROUP:
        facts["boundary"] = entity.boundary
    if entity.trust_policy is not None:
        facts["trust_policy"] = json.loads(entity.trust_policy)
        facts["max_session_s"] = entity.session_s_max
    return facts


def list_all(desk: Desk) -> Answer:
    kind = EntityKind(desk.options.kind)
    entities = desk.store.entities.list_of(desk.account, kind)
    rows = [("NAME", "ARN", "MADE"), *((entity.name, entity.arn, show_time(entity.created_at)) for entity in entities)]
    return Answer([facts_of(entity) for entity in entities], table(rows, f"no {kind.value}s"))


def show(desk: Desk) -> Answer:
    kind = EntityKind(desk.options.kind)
    entity = find(desk, kind)
    store = desk.store
    attached = [policy.arn for policy in store.policies.list_attached(entity)]
    inline = store.policies.list_inline(entity)
    tags = store.entities.list_tags(entity)
    facts = facts_of(entity)
    facts["attached_policies"] = attached
    facts["inline_policies"] = {name: json.loads(document) for name, document in inline.items()}
    lines = [entity.arn, f"  identifier  {entity.id}", f"  made        {show_time(entity.created_at)}"]
    if entity.description:
        lines.append(f"  about       {entity.description}")
    if kind is not GROUP:
        facts["tags"] = tags
        lines += [f"  tag         {name} = {value}" for name, value in tags.items()]
    lines += [f"  policy      {arn}" for arn in attached]
    lines += [f"  policy      {name} (inline) {document}" for name, document in inline.items()]
    if entity.boundary:
        lines.append(f"  boundary    {entity.boundary}")
    if kind is USER:
        keys = store.access_keys.list_of(entity)
        facts["access_keys"] = [{"id": key.id, "active": key.is_active} for key in keys]
        facts["groups"] = [group.name for group in store.entities.list_groups_of(entity)]
        lines += [f"  access key  {key.id}{'' if key.is_active else ' (inactive)'}" for key in keys]
        lines += [f"  group       {group.name}" for group in store.entities.list_groups_of(entity)]
    if kind is GROUP:
        members = store.entities.list_members(entity)
        facts["members"] = [member.name for member in members]
        lines += [f"  member      {member.name}" for member in members]
    if entity.trust_policy is not None:
        lines += [f"  trust       {entity.trust_policy}", f"  session     {entity.session_s_max} seconds at most"]
    return Answer(facts, lines)


def delete(desk: Desk) -> Answer:
    entity = find(desk, EntityKind(desk.options.kind))
    desk.store.entities.delete(entity)
    return Answer({"arn": entity.arn}, [f"{entity.arn} deleted"])


def attach(desk: Desk) -> Answer:
    entity = find(desk, EntityKind(desk.options.kind))
    policy = desk.store.policies.find(desk.account, desk.options.policy)
    desk.store.policies.attach(entity, policy.arn)
    return Answer({"arn": entity.arn, "policy": policy.arn}, [f"{policy.arn} attached to {entity.arn}"])


def detach(desk: Desk) -> Answer:
    entity = find(desk, EntityKind(desk.options.kind))
    policy = desk.store.policies.find(desk.account, desk.options.policy)
    desk.store.policies.detach(entity, policy.arn)
    return Answer({"arn": entity.arn, "policy": policy.arn}, [f"{policy.arn} detached from {entity.arn}"])


def put_policy(desk: Desk) -> Answer:
    entity = find(desk, EntityKind(desk.options.kind))
    name: str = desk.options.policy
    desk.store.policies.put_inline(entity, name, desk.documents["document"])
    return Answer({"arn": entity.arn, "policy": name}, [f"policy {name} written into {entity.arn}"])


def delete_policy(desk: Desk) -> Answer:
    entity = find(desk, EntityKind(desk.options.kind))
    name: str = desk.options.policy
    desk.store.policies.delete_inline(entity, name)
    return Answer({"arn": entity.arn, "policy": name}, [f"policy {name} deleted from {entity.arn}"])


def tag(desk: Desk) -> Answer:
    entity = find(desk, EntityKind(desk.options.kind))
    desk.store.entities.set_tags(entity, desk.options.tag)
    return _tagged(desk, entity)


def untag(desk: Desk) -> Answer:
    entity = find(desk, EntityKind(desk.options.kind))
    desk.store.entities.remove_tags(entity, desk.options.key)
    return _tagged(desk, entity)


def _tagged(desk: Desk, entity: EntityRecord) -> Answer:
    tags = desk.store.entities.list_tags(entity)
    lines = [entity.arn, *(f"  tag         {name} = {value}" for name, value in tags.items())]
    return Answer({"arn": entity.arn, "tags": tags}, lines)


def set_boundary(desk: Desk) -> Answer:
    entity = find(desk, EntityKind(desk.options.kind))
    policy = desk.store.policies.find(desk.account, desk.options.policy)
    desk.store.entities.set_boundary(entity, policy.arn)
    return Answer({"arn": entity.arn, "boundary": policy.arn}, [f"{entity.arn} is limited by {policy.arn}"])


def remove_boundary(desk: Desk) -> Answer:
    entity = find(desk, EntityKind(desk.options.kind))
    desk.store.entities.set_boundary(entity, None)
    return Answer({"arn": entity.arn, "boundary": None}, [f"{entity.arn} is not limited any more"])


def add_member(desk: Desk) -> Answer:
    group, user = find(desk, GROUP), find(desk, USER, desk.options.user)
    desk.store.entities.add_member(group, user)
    return Answer({"group": group.arn, "user": user.arn}, [f"{user.arn} is in {group.arn}"])


def remove_member(desk: Desk) -> Answer:
    group, user = find(desk, GROUP), find(desk, USER, desk.options.user)
    desk.store.entities.remove_member(group, user)
    return Answer({"group": group.arn, "user": user.arn}, [f"{user.arn} is not in {group.arn} any more"])
