"""IAM: who calls, and what they may do. A library; services verify with it in their own process.

The door:

- `IamStore.open(folder, random)`: accounts, users, groups, roles, access keys, policies, for writing
  (`store.entities`, `store.access_keys`, `store.policies`); `store.install(account, now)` at every start.
- `IamReader.open(folder)`: the same store, read-only and cached; what any process commits is seen at the next question.
- `verify_token(reader, token, host, region, now) -> VerifiedCaller` for logins (then `tokens.check_user`), and
  `verify_request(reader, SignedRequest(...), region, now) -> VerifiedCaller` for the API; both raise
  `refusals.AuthenticationRefused`.
- `authorize(caller, action, resource, RequestContext(...), resource_policy)`, which raises
  `refusals.AuthorizationRefused`; `authorization.decide` answers instead. `authorization.find_lockout` looks ahead.

`Refused` is the base of both: `.text` for whoever asked (a login's HINT, the API's message), `.cause` for logs,
`.api_error` for the API. Resource policies are parsed by `policies.parse_policy(text, PolicyKind.RESOURCE)`, which
remembers them. Temporary credentials: `assume_role.assume_role`.

Verification and policies are pure: time and randomness come in as arguments. No secret is in any repr, log or error.
"""

from borealis.iam.authorization import authorize
from borealis.iam.reader import IamReader
from borealis.iam.refusals import Refused
from borealis.iam.signed_requests import verify_request
from borealis.iam.store import IamStore
from borealis.iam.tokens import verify_token

__all__ = ["IamReader", "IamStore", "Refused", "authorize", "verify_request", "verify_token"]
