"""Who may log in as whom, and what a backend for them has to be.

Owns the answers of AURORA-compatible logins and the reading of startup parameters. Pure. Assumes that the caller is who
the hand-over says: the relay has verified the token.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from borealis.front import messages
from borealis.wire.handover import Action, HandOver, Refusal

ADMIN: Final = "admin"
DATABASE: Final = "postgres"
SUPERUSER: Final = "borealis"
"""The front's own role, for what it asks the cluster about roles; nobody else's."""

_CLUSTER_OPTION: Final = "amzn-cluster-id"
_ACCESS_DENIED: Final = "unable to accept connection, access denied"
_FALSE: Final = frozenset(("", "0", "f", "false", "n", "no", "of", "off"))


# What a session can be given at any time as if it came with the startup packet: settings that everybody may change, by
# their names in small letters, which is how Postgres compares them.
_PLAIN: Final = frozenset(
    (
        "application_name",
        "client_encoding",
        "client_min_messages",
        "datestyle",
        "default_transaction_read_only",
        "extra_float_digits",
        "idle_in_transaction_session_timeout",
        "intervalstyle",
        "lock_timeout",
        "search_path",
        "statement_timeout",
        "timezone",
        "work_mem",
    )
)


class BackendKind(NamedTuple):
    """What a backend is from its start to its end: sessions of the same kind can share one. `names` are those of the
    plain settings that each of its sessions brings, whatever the values: the next one's replace them all. `generation`
    is another one each time that what ALTER ROLE and ALTER DATABASE SET give the user has changed."""

    user: str
    parameters: tuple[tuple[str, str], ...] = ()
    names: tuple[str, ...] = ()
    generation: int = 0


Settings: TypeAlias = tuple[tuple[str, str], ...]

ROLE_QUERY: Final = """\
SELECT role.rolcanlogin AND NOT role.rolsuper,
       EXISTS (SELECT FROM sys.iam_pg_role_mappings AS mapping
               WHERE mapping.arn = $2 AND mapping.pg_role_oid = role.oid),
       (SELECT pg_catalog.md5(pg_catalog.string_agg(
                   pg_catalog.format('%s %s %s', given.setdatabase, given.setrole, given.setconfig), ','
                   ORDER BY given.setdatabase, given.setrole))
        FROM pg_catalog.pg_db_role_setting AS given
        WHERE given.setrole IN (0, role.oid)
          AND given.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database
                                        WHERE datname = pg_catalog.current_database())))
FROM pg_catalog.pg_roles AS role WHERE role.rolname = $1"""
"""Of a role and a principal: may the role log in, may the principal be it, and what stands for the settings that a
login as this role begins with, NULL for none."""


@dataclass(frozen=True, slots=True)
class Login:
    kind: BackendKind
    """Its generation is still to be found out."""
    settings: Settings
    """The plain ones, in the order of the kind's names."""
    needs_mapping: bool
    """The principal has to be mapped to the role."""


def decide_login(hand_over: HandOver, cluster: str) -> Login | Refusal:
    if hand_over.cluster != cluster:
        return Refusal("08006", "unable to accept connection, the cluster is not served here")
    if hand_over.database != DATABASE:
        return Refusal("3D000", f'database "{hand_over.database}" does not exist')
    is_admin = hand_over.user == ADMIN
    expected = Action.DB_CONNECT_ADMIN if is_admin else Action.DB_CONNECT
    if hand_over.action != expected:
        action = "DbConnectAdmin" if hand_over.action == Action.DB_CONNECT_ADMIN else "DbConnect"
        return denied(f"Wrong user to action mapping. user: {hand_over.user}, action: {action}")
    if hand_over.user == SUPERUSER:
        return deny_role(hand_over)
    parameters: dict[str, str] = {}
    plain: dict[str, str] = {}
    for name, value in hand_over.startup_parameters:
        if name == "replication":
            if value.lower() not in _FALSE:
                return Refusal("0A000", "replication connections are not supported")
        elif name == "options":
            if kept := without_cluster_option(value):
                parameters[name] = kept
        elif name.lower() in _PLAIN:
            plain[name.lower()] = value
        else:
            parameters[name] = value
    # In order, so that clients that say the same in another order share backends; a later value replaces an earlier.
    settings = tuple(sorted(plain.items()))
    kind = BackendKind(hand_over.user, tuple(sorted(parameters.items())), tuple(name for name, _ in settings))
    return Login(kind, settings, not is_admin)


def judge_role(hand_over: HandOver, row: list[bytes | None] | None) -> Refusal | None:
    """By the answer to ROLE_QUERY."""
    return None if row is not None and row[:2] == [b"t", b"t"] else deny_role(hand_over)


def deny_role(hand_over: HandOver) -> Refusal:
    """The same for a role that does not exist, so that nobody can try out which ones do."""
    return denied(f"User: {hand_over.principal} is not authorized to connect as the role {hand_over.user}")


def denied(hint: str) -> Refusal:
    return Refusal("08006", _ACCESS_DENIED, hint)


def unavailable() -> Refusal:
    return Refusal("XX000", "server unavailable")


def refusal_of(fields: dict[str, str]) -> Refusal:
    """What Postgres said when a backend wanted to log in."""
    return Refusal(fields.get("C", "XX000"), fields.get("M", "server unavailable"), fields.get("H", ""))


def without_cluster_option(options: str) -> str:
    """The client's `options` without the name of the cluster, which was for the relay."""
    words = options.split(" ")
    if _CLUSTER_OPTION not in options:
        return options
    kept: list[str] = []
    at = 0
    while at < len(words):
        word, following = words[at], words[at + 1] if at + 1 < len(words) else ""
        if word == "-c" and following.startswith(_CLUSTER_OPTION + "="):
            at += 2
        elif word.startswith((f"-c{_CLUSTER_OPTION}=", f"--{_CLUSTER_OPTION}=")):
            at += 1
        else:
            kept.append(word)
            at += 1
    return " ".join(kept).strip()


def greeting(parameters: dict[bytes, bytes], process_id: int, secret: int) -> bytes:
    """From the successful authentication to the first ReadyForQuery."""
    parts = [messages.AUTHENTICATION_OK]
    parts += (messages.parameter_status(name, value) for name, value in parameters.items())
    parts.append(messages.key_data(process_id, secret))
    parts.append(messages.ready_for_query(messages.IDLE))
    return b"".join(parts)
