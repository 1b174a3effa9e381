"""`borealis iam access-key`."""

from borealis.cli.iam.entities import USER, find
from borealis.cli.iam.running import Answer, Desk, show_time, table
from borealis.iam.records import NewAccessKey


def create(desk: Desk) -> Answer:
    if desk.options.root:
        owner = desk.store.entities.create_root(desk.account, desk.now)
    else:
        owner = find(desk, USER, desk.options.user)
    return _with_secret(desk.store.access_keys.create(owner, desk.now))


def show(desk: Desk) -> Answer:
    return _with_secret(desk.store.access_keys.reveal(desk.options.key))


def _with_secret(key: NewAccessKey) -> Answer:
    secret = key.secret.reveal()
    facts = {"access_key_id": key.id, "secret_access_key": secret, "arn": key.entity_arn}
    return Answer(facts, [f"AWS_ACCESS_KEY_ID={key.id}", f"AWS_SECRET_ACCESS_KEY={secret}"])


def list_keys(desk: Desk) -> Answer:
    keys = desk.store.access_keys.list_of(find(desk, USER, desk.options.user) if desk.options.user else None)
    keys = [key for key in keys if key.entity_arn.split(":")[4] == desk.account]
    rows = [
        ("ID", "STATE", "OF", "MADE"),
        *((k.id, "active" if k.is_active else "inactive", k.entity_arn, show_time(k.created_at)) for k in keys),
    ]
    facts = [{"access_key_id": key.id, "active": key.is_active, "arn": key.entity_arn} for key in keys]
    return Answer(facts, table(rows, "no access keys"))


def activate(desk: Desk) -> Answer:
    return _set_active(desk, True)


def deactivate(desk: Desk) -> Answer:
    return _set_active(desk, False)


def _set_active(desk: Desk, is_active: bool) -> Answer:
    key: str = desk.options.key
    desk.store.access_keys.set_active(key, is_active)
    state = "active" if is_active else "inactive"
    return Answer({"access_key_id": key, "active": is_active}, [f"access key {key} is {state}"])


def delete(desk: Desk) -> Answer:
    key: str = desk.options.key
    desk.store.access_keys.delete(key)
    return Answer({"access_key_id": key}, [f"access key {key} deleted"])
