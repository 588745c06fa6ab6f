"""Roles, instance profiles, AWS's service-linked roles, and the policy for running the flows."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from botocore.exceptions import ClientError

from tasks.account.policy_statements import Document, have_same_grants
from tasks.account.resource import (
    MISSING,
    NAME_TAKEN,
    TAG,
    UP_TO_DATE,
    USED_UNCHANGED,
    ResourceState,
)
from tasks.aws.errors import error_code

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_iam.type_defs import TagTypeDef

POLICY = "dcp"  # name of our roles' inline policy
NOT_FOUND = frozenset({"NoSuchEntity"})
ALREADY_EXISTS = frozenset({"InvalidInput", "EntityAlreadyExists"})
MAX_VERSIONS = 5  # IAM's limit for a managed policy


def _tags(owner: str) -> "list[TagTypeDef]":
    return [{"Key": TAG, "Value": owner}]


def _ours(tagged: Mapping[str, Any], owner: str) -> bool:
    return {"Key": TAG, "Value": owner} in tagged.get("Tags", [])


def _decoded(policy: Any) -> Document:
    """A policy from IAM's response, which boto3 usually has decoded."""
    document: Document = json.loads(unquote(policy)) if isinstance(policy, str) else policy
    return document


@dataclass(frozen=True)
class Role:
    """A role for an AWS service.

    Attributes:
        iam: The client.
        owner: The name of the set-up.
        name: The role's name.
        trust: Its trust policy.
        policy: Its inline policy, or None.
        managed: ARNs of its managed policies.
        shared: Whether the name is AWS's or DCP's own: then an existing role is used.
        option_tags: Tags that store the options of the set-up.
    """

    iam: "IAMClient"
    owner: str
    name: str
    trust: Document
    policy: Document | None = None
    managed: tuple[str, ...] = ()
    shared: bool = False
    option_tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def description(self) -> str:
        """Description for people."""
        return f"role {self.name}"

    def check(self) -> ResourceState:
        """Its current state."""
        role = self._role()
        if role is None:
            return MISSING
        if not _ours(role, self.owner):
            return USED_UNCHANGED if self.shared else NAME_TAKEN
        wrong = []
        if not have_same_grants(_decoded(role["AssumeRolePolicyDocument"]), self.trust):
            wrong.append("its trust policy")
        if self.policy is not None and not self._has_policy(self.policy):
            wrong.append("its policy")
        wrong += [f"{arn} is not attached" for arn in self.managed if arn not in self._attached()]
        tags = {tag["Key"]: tag["Value"] for tag in role.get("Tags", [])}
        if any(tags.get(key) != value for key, value in self.option_tags.items()):
            wrong.append("its tags")
        return ResourceState("differs", ", ".join(wrong)) if wrong else UP_TO_DATE

    def ensure(self, before: ResourceState) -> None:
        """Create the role, or restore its policies."""
        trust = json.dumps(self.trust)
        option_tags: list[TagTypeDef] = [
            {"Key": key, "Value": value} for key, value in sorted(self.option_tags.items())
        ]
        if before == MISSING:
            self.iam.create_role(
                RoleName=self.name,
                AssumeRolePolicyDocument=trust,
                Description="Created by dcp account create",
                Tags=[*_tags(self.owner), *option_tags],
            )
        else:
            self.iam.update_assume_role_policy(RoleName=self.name, PolicyDocument=trust)
            if option_tags:
                self.iam.tag_role(RoleName=self.name, Tags=option_tags)
        if self.policy is not None:
            self.iam.put_role_policy(
                RoleName=self.name, PolicyName=POLICY, PolicyDocument=json.dumps(self.policy)
            )
        for arn in self.managed:
            self.iam.attach_role_policy(RoleName=self.name, PolicyArn=arn)

    def remove(self) -> None:
        """Remove the role and its policies if dcp created it."""
        role = self._role()
        if role is None or not _ours(role, self.owner):
            return
        for arn in self._attached():
            self.iam.detach_role_policy(RoleName=self.name, PolicyArn=arn)
        for page in self.iam.get_paginator("list_role_policies").paginate(RoleName=self.name):
            for name in page["PolicyNames"]:
                self.iam.delete_role_policy(RoleName=self.name, PolicyName=name)
        self.iam.delete_role(RoleName=self.name)

    def hand_over(self, owner: str) -> None:
        """Hand it over to another set-up."""
        self.iam.tag_role(RoleName=self.name, Tags=_tags(owner))

    def _role(self) -> Any:
        try:
            return self.iam.get_role(RoleName=self.name)["Role"]
        except ClientError as error:
            if error_code(error) in NOT_FOUND:
                return None
            raise

    def _has_policy(self, wanted: Document) -> bool:
        try:
            response = self.iam.get_role_policy(RoleName=self.name, PolicyName=POLICY)
        except ClientError as error:
            if error_code(error) in NOT_FOUND:
                return False
            raise
        return have_same_grants(_decoded(response["PolicyDocument"]), wanted)

    def _attached(self) -> list[str]:
        pages = self.iam.get_paginator("list_attached_role_policies").paginate(RoleName=self.name)
        return [policy["PolicyArn"] for page in pages for policy in page["AttachedPolicies"]]


@dataclass(frozen=True)
class InstanceProfile:
    """Passes a role to machines (IAM User Guide, "Use instance profiles"); shared by set-ups.

    Attributes:
        iam: The client.
        owner: The name of the set-up.
        name: The name of the profile and its role.
    """

    iam: "IAMClient"
    owner: str
    name: str

    @property
    def description(self) -> str:
        """Description for people."""
        return f"instance profile {self.name}"

    def check(self) -> ResourceState:
        """Its current state."""
        profile = self._profile()
        if profile is None:
            return MISSING
        ours = _ours(profile, self.owner)
        if not profile["Roles"]:
            return ResourceState("differs" if ours else "not ours", "it has no role")
        return UP_TO_DATE if ours else USED_UNCHANGED

    def ensure(self, before: ResourceState) -> None:
        """Create it and add its role."""
        if before == MISSING:
            self.iam.create_instance_profile(InstanceProfileName=self.name, Tags=_tags(self.owner))
        self.iam.add_role_to_instance_profile(InstanceProfileName=self.name, RoleName=self.name)

    def remove(self) -> None:
        """Remove it if dcp created it."""
        profile = self._profile()
        if profile is None or not _ours(profile, self.owner):
            return
        for role in profile["Roles"]:
            self.iam.remove_role_from_instance_profile(
                InstanceProfileName=self.name, RoleName=role["RoleName"]
            )
        self.iam.delete_instance_profile(InstanceProfileName=self.name)

    def hand_over(self, owner: str) -> None:
        """Hand it over to another set-up."""
        self.iam.tag_instance_profile(InstanceProfileName=self.name, Tags=_tags(owner))

    def _profile(self) -> Any:
        try:
            return self.iam.get_instance_profile(InstanceProfileName=self.name)["InstanceProfile"]
        except ClientError as error:
            if error_code(error) in NOT_FOUND:
                return None
            raise


@dataclass(frozen=True)
class ServiceLinkedRole:
    """A role that AWS creates for one of its services, once per account; dcp never removes it.

    IAM User Guide, "Create a service-linked role".

    Attributes:
        iam: The client.
        service: The service principal.
        why: Its purpose.
    """

    iam: "IAMClient"
    service: str
    why: str

    @property
    def description(self) -> str:
        """Description for people."""
        return f"service-linked role of {self.service} ({self.why})"

    def check(self) -> ResourceState:
        """Its current state."""
        path = f"/aws-service-role/{self.service}/"
        pages = self.iam.get_paginator("list_roles").paginate(PathPrefix=path)
        return USED_UNCHANGED if any(page["Roles"] for page in pages) else MISSING

    def ensure(self, before: ResourceState) -> None:
        """Have AWS create it; another client may already have done so."""
        try:
            self.iam.create_service_linked_role(AWSServiceName=self.service)
        except ClientError as error:
            if error_code(error) not in ALREADY_EXISTS:
                raise

    def remove(self) -> None:
        """Does nothing: other programs of the account use it too."""


@dataclass(frozen=True)
class ManagedPolicy:
    """The policy to attach to users or roles that run the flows.

    Attributes:
        iam: The client.
        owner: The name of the set-up.
        arn: Its ARN.
        policy: The policy.
    """

    iam: "IAMClient"
    owner: str
    arn: str
    policy: Document

    @property
    def name(self) -> str:
        """Its name."""
        return self.arn.rsplit("/", 1)[-1]

    @property
    def description(self) -> str:
        """Description for people."""
        return f"policy {self.name}"

    def check(self) -> ResourceState:
        """Its current state."""
        policy = self._policy()
        if policy is None:
            return MISSING
        if not _ours(policy, self.owner):
            return NAME_TAKEN
        version = self.iam.get_policy_version(
            PolicyArn=self.arn, VersionId=policy["DefaultVersionId"]
        )["PolicyVersion"]
        if have_same_grants(_decoded(version["Document"]), self.policy):
            return UP_TO_DATE
        return ResourceState("differs", "its default version")

    def ensure(self, before: ResourceState) -> None:
        """Create the policy, or a new version of it."""
        document = json.dumps(self.policy, separators=(",", ":"))
        if before == MISSING:
            self.iam.create_policy(
                PolicyName=self.name, PolicyDocument=document, Tags=_tags(self.owner)
            )
            return
        versions = self._older_versions()
        if len(versions) == MAX_VERSIONS - 1:
            self.iam.delete_policy_version(PolicyArn=self.arn, VersionId=versions[0])
        self.iam.create_policy_version(
            PolicyArn=self.arn, PolicyDocument=document, SetAsDefault=True
        )

    def remove(self) -> None:
        """Remove it if dcp created it. It must be detached first."""
        policy = self._policy()
        if policy is None or not _ours(policy, self.owner):
            return
        for version in self._older_versions():
            self.iam.delete_policy_version(PolicyArn=self.arn, VersionId=version)
        self.iam.delete_policy(PolicyArn=self.arn)

    def _policy(self) -> Any:
        try:
            return self.iam.get_policy(PolicyArn=self.arn)["Policy"]
        except ClientError as error:
            if error_code(error) in NOT_FOUND:
                return None
            raise

    def _older_versions(self) -> list[str]:
        """All versions but the default, oldest first."""
        pages = self.iam.get_paginator("list_policy_versions").paginate(PolicyArn=self.arn)
        versions = [version for page in pages for version in page["Versions"]]
        older = [version for version in versions if not version["IsDefaultVersion"]]
        older.sort(key=lambda version: version["CreateDate"])
        return [version["VersionId"] for version in older]
