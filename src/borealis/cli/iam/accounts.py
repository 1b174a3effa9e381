"""`borealis iam account`."""

from borealis.cli.iam.running import Answer, Desk


def list_accounts(desk: Desk) -> Answer:
    accounts = desk.store.entities.list_accounts()
    own = desk.store.account()
    lines = [f"{account} (of the installation)" if account == own else account for account in accounts]
    return Answer(accounts, lines)


def create(desk: Desk) -> Answer:
    identifier: str = desk.options.identifier
    desk.store.entities.create_account(identifier, desk.now)
    return Answer({"account": identifier}, [f"account {identifier} made"])
