"""The API of Aurora DSQL, version 2018-05-10, as far as it is supported here.

Declared by hand, and compared member by member with the model that the clients carry, so that a new release of theirs
shows what it changed (tests/unit/control/test_model.py). Streams are known by name: their calls are understood and
refused.
"""

from typing import Final

from borealis.clusters.cluster import ClusterStatus, EncryptionStatus, EncryptionType
from borealis.control.shapes import Flag, Instant, Member, Number, Operation, Place, Sequence, Structure, Table, Text

# Values

CLUSTER_ID: Final = Text(pattern="[a-z0-9]{26}")
CLUSTER_ARN: Final = Text(pattern="arn:aws(-[^:]+)?:dsql:[a-z0-9-]{1,20}:[0-9]{12}:cluster/[a-z0-9]{26}")
RESOURCE_ARN: Final = Text(pattern="arn:.+", characters_min=1, characters_max=1011)
CLIENT_TOKEN: Final = Text(pattern="[!-~]+", characters_min=1, characters_max=128)
KMS_KEY: Final = Text(pattern="[a-zA-Z0-9:/_-]+", characters_min=1, characters_max=2048)
POLICY: Final = Text(characters_min=1, characters_max=20480)
POLICY_VERSION: Final = Text()
NEXT_TOKEN: Final = Text()
ENDPOINT: Final = Text(pattern="[a-zA-Z0-9.-]+")
STATUS: Final = Text(values=tuple(ClusterStatus))
TAG_KEY: Final = Text(pattern=r"[a-zA-Z0-9_.:/=+\-@ ]*", characters_min=1, characters_max=128)
TAG_VALUE: Final = Text(pattern=r"[a-zA-Z0-9_.:/=+\-@ ]*", characters_min=0, characters_max=256)
TAGS: Final = Table(TAG_KEY, TAG_VALUE, count_min=0, count_max=200)
TAG_KEYS: Final = Sequence(TAG_KEY, count_min=0, count_max=200)
METRIC_GROUP: Final = Structure({"metricGroup": Member(Text(values=("STATEMENT_STATISTICS",)), is_required=True)})
METRIC_GROUPS: Final = Sequence(METRIC_GROUP, count_min=0, count_max=20)
ENCRYPTION: Final = Structure(
    {
        "encryptionType": Member(Text(values=tuple(EncryptionType)), is_required=True),
        "kmsKeyArn": Member(Text()),
        "encryptionStatus": Member(Text(values=tuple(EncryptionStatus)), is_required=True),
    }
)
# Understood, so that it can be refused in full knowledge.
MULTI_REGION: Final = Structure(
    {
        "witnessRegion": Member(Text(characters_min=0, characters_max=50)),
        "clusters": Member(Sequence(CLUSTER_ARN)),
    }
)
CLUSTER_SUMMARY: Final = Structure(
    {"identifier": Member(CLUSTER_ID, is_required=True), "arn": Member(CLUSTER_ARN, is_required=True)}
)

# Members that recur

IDENTIFIER: Final = Member(CLUSTER_ID, is_required=True, place=Place.PATH)
BODY_TOKEN: Final = Member(CLIENT_TOKEN, is_client_token=True)
QUERY_TOKEN: Final = Member(CLIENT_TOKEN, place=Place.QUERY, name="client-token", is_client_token=True)
RESOURCE: Final = Member(RESOURCE_ARN, is_required=True, place=Place.PATH)
CLUSTER_OUTCOME: Final = {
    "identifier": Member(CLUSTER_ID, is_required=True),
    "arn": Member(CLUSTER_ARN, is_required=True),
    "status": Member(STATUS, is_required=True),
    "creationTime": Member(Instant(), is_required=True),
}
CLUSTER_DETAILS: Final = {
    **CLUSTER_OUTCOME,
    "deletionProtectionEnabled": Member(Flag(), is_required=True),
    "multiRegionProperties": Member(MULTI_REGION),
    "encryptionDetails": Member(ENCRYPTION),
    "endpoint": Member(ENDPOINT),
    "metricGroups": Member(METRIC_GROUPS),
}

# Errors

_ALWAYS: Final = ("ThrottlingException", "ValidationException", "AccessDeniedException", "InternalServerException")
_OF_RESOURCE: Final = (*_ALWAYS, "ResourceNotFoundException")
_OF_CHANGE: Final = (*_OF_RESOURCE, "ConflictException")

# Operations

CREATE_CLUSTER: Final = Operation(
    "CreateCluster",
    "POST",
    "/cluster",
    input=Structure(
        {
            "deletionProtectionEnabled": Member(Flag()),
            "kmsEncryptionKey": Member(KMS_KEY),
            "tags": Member(TAGS),
            "clientToken": BODY_TOKEN,
            "multiRegionProperties": Member(MULTI_REGION),
            "policy": Member(POLICY),
            "metricGroups": Member(METRIC_GROUPS),
            "bypassPolicyLockoutSafetyCheck": Member(Flag()),
        }
    ),
    output=Structure(CLUSTER_DETAILS),
    errors=(*_ALWAYS, "ServiceQuotaExceededException", "ConflictException"),
)
GET_CLUSTER: Final = Operation(
    "GetCluster",
    "GET",
    "/cluster/{identifier}",
    input=Structure({"identifier": IDENTIFIER}),
    output=Structure({**CLUSTER_DETAILS, "tags": Member(TAGS)}),
    errors=_OF_RESOURCE,
)
UPDATE_CLUSTER: Final = Operation(
    "UpdateCluster",
    "POST",
    "/cluster/{identifier}",
    input=Structure(
        {
            "identifier": IDENTIFIER,
            "deletionProtectionEnabled": Member(Flag()),
            "kmsEncryptionKey": Member(KMS_KEY),
            "clientToken": BODY_TOKEN,
            "multiRegionProperties": Member(MULTI_REGION),
            "metricGroups": Member(METRIC_GROUPS),
        }
    ),
    output=Structure(CLUSTER_OUTCOME),
    errors=_OF_CHANGE,
)
DELETE_CLUSTER: Final = Operation(
    "DeleteCluster",
    "DELETE",
    "/cluster/{identifier}",
    input=Structure({"identifier": IDENTIFIER, "clientToken": QUERY_TOKEN}),
    output=Structure(CLUSTER_OUTCOME),
    errors=_OF_CHANGE,
)
LIST_CLUSTERS: Final = Operation(
    "ListClusters",
    "GET",
    "/cluster",
    input=Structure(
        {
            "maxResults": Member(Number(minimum=1, maximum=100), place=Place.QUERY, name="max-results"),
            "nextToken": Member(NEXT_TOKEN, place=Place.QUERY, name="next-token"),
        }
    ),
    output=Structure(
        {"nextToken": Member(NEXT_TOKEN), "clusters": Member(Sequence(CLUSTER_SUMMARY), is_required=True)}
    ),
    errors=_OF_RESOURCE,
)
PUT_CLUSTER_POLICY: Final = Operation(
    "PutClusterPolicy",
    "POST",
    "/cluster/{identifier}/policy",
    input=Structure(
        {
            "identifier": IDENTIFIER,
            "policy": Member(POLICY, is_required=True),
            "bypassPolicyLockoutSafetyCheck": Member(Flag()),
            "expectedPolicyVersion": Member(POLICY_VERSION),
            "clientToken": BODY_TOKEN,
        }
    ),
    output=Structure({"policyVersion": Member(POLICY_VERSION, is_required=True)}),
    errors=_OF_CHANGE,
)
GET_CLUSTER_POLICY: Final = Operation(
    "GetClusterPolicy",
    "GET",
    "/cluster/{identifier}/policy",
    input=Structure({"identifier": IDENTIFIER}),
    output=Structure(
        {
            "policy": Member(POLICY, is_required=True),
            "policyVersion": Member(POLICY_VERSION, is_required=True),
        }
    ),
    errors=_OF_RESOURCE,
)
DELETE_CLUSTER_POLICY: Final = Operation(
    "DeleteClusterPolicy",
    "DELETE",
    "/cluster/{identifier}/policy",
    input=Structure(
        {
            "identifier": IDENTIFIER,
            "expectedPolicyVersion": Member(POLICY_VERSION, place=Place.QUERY, name="expected-policy-version"),
            "clientToken": QUERY_TOKEN,
        }
    ),
    output=Structure({"policyVersion": Member(POLICY_VERSION, is_required=True)}),
    errors=_OF_CHANGE,
)
GET_VPC_ENDPOINT_SERVICE_NAME: Final = Operation(
    "GetVpcEndpointServiceName",
    "GET",
    "/clusters/{identifier}/vpc-endpoint-service-name",
    input=Structure({"identifier": IDENTIFIER}),
    output=Structure(
        {
            "serviceName": Member(
                Text(pattern=r"com\.amazonaws\.[a-z0-9-]+\.dsql[a-z0-9-]*", characters_min=1, characters_max=128),
                is_required=True,
            ),
            "clusterVpcEndpoint": Member(ENDPOINT),
        }
    ),
    errors=_OF_RESOURCE,
)
TAG_RESOURCE: Final = Operation(
    "TagResource",
    "POST",
    "/tags/{resourceArn}",
    input=Structure({"resourceArn": RESOURCE, "tags": Member(TAGS, is_required=True)}),
    errors=(*_OF_RESOURCE, "ServiceQuotaExceededException"),
)
UNTAG_RESOURCE: Final = Operation(
    "UntagResource",
    "DELETE",
    "/tags/{resourceArn}",
    input=Structure(
        {
            "resourceArn": RESOURCE,
            "tagKeys": Member(TAG_KEYS, is_required=True, place=Place.QUERY),
        }
    ),
    errors=_OF_RESOURCE,
)
LIST_TAGS_FOR_RESOURCE: Final = Operation(
    "ListTagsForResource",
    "GET",
    "/tags/{resourceArn}",
    input=Structure({"resourceArn": RESOURCE}),
    output=Structure({"tags": Member(TAGS)}),
    errors=_OF_RESOURCE,
)

STREAMS: Final = (
    Operation("CreateStream", "POST", "/stream/{clusterIdentifier}", input=None),
    Operation("ListStreams", "GET", "/stream/{clusterIdentifier}", input=None),
    Operation("GetStream", "GET", "/stream/{clusterIdentifier}/{streamIdentifier}", input=None),
    Operation("DeleteStream", "DELETE", "/stream/{clusterIdentifier}/{streamIdentifier}", input=None),
)

OPERATIONS: Final = (
    CREATE_CLUSTER,
    GET_CLUSTER,
    UPDATE_CLUSTER,
    DELETE_CLUSTER,
    LIST_CLUSTERS,
    PUT_CLUSTER_POLICY,
    GET_CLUSTER_POLICY,
    DELETE_CLUSTER_POLICY,
    GET_VPC_ENDPOINT_SERVICE_NAME,
    TAG_RESOURCE,
    UNTAG_RESOURCE,
    LIST_TAGS_FOR_RESOURCE,
    *STREAMS,
)
