"""The policies that come with the product, under the names and ARNs that they have in AWS."""

import json
from dataclasses import dataclass
from typing import Final

from borealis.iam.names import AWS_ACCOUNT, policy_arn

_READ_ACTIONS: Final = (
    "dsql:GetCluster",
    "dsql:GetClusterPolicy",
    "dsql:GetStream",
    "dsql:GetVpcEndpointServiceName",
    "dsql:ListClusters",
    "dsql:ListStreams",
    "dsql:ListTagsForResource",
)


@dataclass(frozen=True, slots=True)
class ManagedPolicy:
    name: str
    description: str
    document: str

    @property
    def arn(self) -> str:
        return policy_arn(AWS_ACCOUNT, "/", self.name)


def _allow(*actions: str) -> str:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


ADMINISTRATOR_ACCESS: Final = ManagedPolicy("AdministratorAccess", "Everything.", _allow("*"))

MANAGED_POLICIES: Final = (
    ADMINISTRATOR_ACCESS,
    ManagedPolicy(
        "AmazonAuroraDSQLFullAccess",
        "Everything about clusters, connecting to them as admin or as another database user included.",
        _allow("dsql:*"),
    ),
    ManagedPolicy(
        "AmazonAuroraDSQLReadOnlyAccess",
        "Looking at clusters, their policies and tags, without connecting to them.",
        _allow(*_READ_ACTIONS),
    ),
)
