"""Random calls against a dictionary that says what should have happened."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.integration.control.clusters import make_cluster, refusal, wait_gone
from tests.integration.control.running_control import RunningControl

ADMINISTRATOR = "arn:aws:iam::000000000000:user/administrator"
KEYS = st.sampled_from(["a", "b", "c", "team"])
TAGS = st.dictionaries(KEYS, st.sampled_from(["", "1", "2"]), max_size=3)
POLICIES = st.sampled_from(
    [
        json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {"Effect": "Allow", "Principal": {"AWS": ADMINISTRATOR}, "Action": action, "Resource": "*"}
                ],
            }
        )
        for action in ("dsql:*", "dsql:GetCluster")
    ]
)


class Expected:
    """What is known of the one cluster that a run is about."""

    def __init__(self, tags: dict[str, str]) -> None:
        self.tags = dict(tags)
        self.is_protected = False
        self.policy: str | None = None
        self.version = 0
        # The answers to client tokens: parameters and version.
        self.puts: dict[str, tuple[str, str]] = {}


def make_machine(control: RunningControl) -> type[RuleBasedStateMachine]:
    client = control.client()

    class OneCluster(RuleBasedStateMachine):
        @initialize(tags=TAGS)
        def create(self, tags: dict[str, str]) -> None:
            self.identifier = make_cluster(client, tags=tags)
            self.arn = client.get_cluster(identifier=self.identifier)["arn"]
            self.expected = Expected(tags)

        @rule(tags=TAGS)
        def tag(self, tags: dict[str, str]) -> None:
            client.tag_resource(resourceArn=self.arn, tags=tags)
            self.expected.tags.update(tags)

        @rule(keys=st.lists(KEYS, min_size=1, max_size=3))
        def untag(self, keys: list[str]) -> None:
            client.untag_resource(resourceArn=self.arn, tagKeys=keys)
            for key in keys:
                self.expected.tags.pop(key, None)

        @rule(is_protected=st.booleans())
        def protect(self, is_protected: bool) -> None:
            client.update_cluster(identifier=self.identifier, deletionProtectionEnabled=is_protected)
            self.expected.is_protected = is_protected

        @rule(policy=POLICIES, token=st.sampled_from(["x", "y", "z"]))
        def put_policy(self, policy: str, token: str) -> None:
            expected = self.expected
            members: dict[str, Any] = {
                "identifier": self.identifier,
                "policy": policy,
                "clientToken": self.identifier + token,
            }
            if token in expected.puts and expected.puts[token][0] != policy:
                refusal("ConflictException", client.put_cluster_policy, **members)
                return
            answer = client.put_cluster_policy(**members)
            if token not in expected.puts:
                expected.version += 1
                expected.policy = policy
                expected.puts[token] = (policy, str(expected.version))
            assert answer["policyVersion"] == expected.puts[token][1]

        @rule(is_current=st.booleans())
        def delete_policy(self, is_current: bool) -> None:
            expected = self.expected
            version = str(expected.version if is_current else expected.version + 1)
            members = {"identifier": self.identifier, "expectedPolicyVersion": version}
            if expected.policy is None or not is_current:
                refusal("ConflictException", client.delete_cluster_policy, **members)
                return
            assert client.delete_cluster_policy(**members)["policyVersion"] == version
            expected.policy = None

        @rule()
        def look(self) -> None:
            expected = self.expected
            found = client.get_cluster(identifier=self.identifier)
            assert found["tags"] == expected.tags
            assert found["deletionProtectionEnabled"] is expected.is_protected
            assert client.list_tags_for_resource(resourceArn=self.arn)["tags"] == expected.tags
            if expected.policy is None:
                refusal("ResourceNotFoundException", client.get_cluster_policy, identifier=self.identifier)
                return
            policy = client.get_cluster_policy(identifier=self.identifier)
            assert (policy["policy"], policy["policyVersion"]) == (expected.policy, str(expected.version))

        @rule()
        def restart(self) -> None:
            control.control.kill()
            control.start_control()
            nonlocal client
            client = control.client()

        def teardown(self) -> None:
            if not hasattr(self, "identifier"):
                return
            self.look()
            if self.expected.is_protected:
                answer = refusal("ValidationException", client.delete_cluster, identifier=self.identifier)
                assert answer["reason"] == "deletionProtectionEnabled"
                self.protect(False)
            client.delete_cluster(identifier=self.identifier)
            wait_gone(client, self.identifier)

    return OneCluster


@pytest.mark.parametrize("is_killed", [False, True])
def test_the_api_does_what_a_dictionary_does(shared: RunningControl, is_killed: bool) -> None:
    machine = make_machine(shared)
    if not is_killed:
        del machine.restart  # type: ignore[attr-defined]
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=3 if is_killed else 8,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
