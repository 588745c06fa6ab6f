"""Roles, instance profiles, AWS's own service-linked roles, and a policy for people."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from botocore.exceptions import ClientError

from tasks.account.policy_statements import Document, same
from tasks.account.resource import AS_MADE, IN_THE_WAY, MISSING, TAG, USED, Look
from tasks.aws.errors import error_code

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_iam.type_defs import TagTypeDef

POLICY = "dcp"  # the name of the inline policy of our roles
ABSENT = frozenset({"NoSuchEntity"})
TAKEN = frozenset({"InvalidInput", "EntityAlreadyExists"})
VERSIONS = 5  # that IAM keeps of a managed policy at most


def _tags(owner: str) -> "list[TagTypeDef]":
    return [{"Key": TAG, "Value": owner}]


def _ours(tagged: Mapping[str, Any], owner: str) -> bool:
    return {"Key": TAG, "Value": owner} in tagged.get("Tags", [])


def _decoded(policy: Any) -> Document:
    """A policy as IAM answers it: boto3 has decoded it, mostly."""
    document: Document = json.loads(unquote(policy)) if isinstance(policy, str) else policy
    return document


@dataclass(frozen=True)
class Role:
    """A role for an AWS service.

    Attributes:
        iam: The client.
        owner: The name of the set-up.
        name: The role's name.
        trust: Who may take it on.
        policy: Its inline policy, or None.
        managed: ARNs of the managed policies that it has besides.
        shared: Whether the name is AWS's or DCP's own: one that is there already is used.
        note: Tags that remember how the set-up was asked for.
    """

    iam: "IAMClient"
    owner: str
    name: str
    trust: Document
    policy: Document | None = None
    managed: tuple[str, ...] = ()
    shared: bool = False
    note: Mapping[str, str] = field(default_factory=dict)

    @property
    def what(self) -> str:
        """What it is, for people."""
        return f"role {self.name}"

    def look(self) -> Look:
        """How it is now."""
        role = self._role()
        if role is None:
            return MISSING
        if not _ours(role, self.owner):
            return USED if self.shared else IN_THE_WAY
        wrong = []
        if not same(_decoded(role["AssumeRolePolicyDocument"]), self.trust):
            wrong.append("its trust policy")
        if self.policy is not None and not self._has_policy(self.policy):
            wrong.append("its policy")
        wrong += [f"{arn} is not attached" for arn in self.managed if arn not in self._attached()]
        noted = {tag["Key"]: tag["Value"] for tag in role.get("Tags", [])}
        if any(noted.get(key) != value for key, value in self.note.items()):
            wrong.append("its tags")
        return Look("differs", ", ".join(wrong)) if wrong else AS_MADE

    def make(self, found: Look) -> None:
        """Make the role, or give it the policies that it should have."""
        trust = json.dumps(self.trust)
        note: list[TagTypeDef] = [
            {"Key": key, "Value": value} for key, value in sorted(self.note.items())
        ]
        if found == MISSING:
            self.iam.create_role(
                RoleName=self.name,
                AssumeRolePolicyDocument=trust,
                Description="Made by dcp account create",
                Tags=[*_tags(self.owner), *note],
            )
        else:
            self.iam.update_assume_role_policy(RoleName=self.name, PolicyDocument=trust)
            if note:
                self.iam.tag_role(RoleName=self.name, Tags=note)
        if self.policy is not None:
            self.iam.put_role_policy(
                RoleName=self.name, PolicyName=POLICY, PolicyDocument=json.dumps(self.policy)
            )
        for arn in self.managed:
            self.iam.attach_role_policy(RoleName=self.name, PolicyArn=arn)

    def remove(self) -> None:
        """Remove the role with its policies, if dcp made it."""
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
        """Let it be another set-up's."""
        self.iam.tag_role(RoleName=self.name, Tags=_tags(owner))

    def _role(self) -> Any:
        try:
            return self.iam.get_role(RoleName=self.name)["Role"]
        except ClientError as error:
            if error_code(error) in ABSENT:
                return None
            raise

    def _has_policy(self, wanted: Document) -> bool:
        try:
            found = self.iam.get_role_policy(RoleName=self.name, PolicyName=POLICY)
        except ClientError as error:
            if error_code(error) in ABSENT:
                return False
            raise
        return same(_decoded(found["PolicyDocument"]), wanted)

    def _attached(self) -> list[str]:
        pages = self.iam.get_paginator("list_attached_role_policies").paginate(RoleName=self.name)
        return [one["PolicyArn"] for page in pages for one in page["AttachedPolicies"]]


@dataclass(frozen=True)
class InstanceProfile:
    """What hands a role to machines (IAM User Guide, "Use instance profiles"); it is shared.

    Attributes:
        iam: The client.
        owner: The name of the set-up.
        name: Its name, and its role's.
    """

    iam: "IAMClient"
    owner: str
    name: str

    @property
    def what(self) -> str:
        """What it is, for people."""
        return f"instance profile {self.name}"

    def look(self) -> Look:
        """How it is now."""
        profile = self._profile()
        if profile is None:
            return MISSING
        ours = _ours(profile, self.owner)
        if not profile["Roles"]:
            return Look("differs" if ours else "not ours", "it has no role")
        return AS_MADE if ours else USED

    def make(self, found: Look) -> None:
        """Make it and give it its role."""
        if found == MISSING:
            self.iam.create_instance_profile(InstanceProfileName=self.name, Tags=_tags(self.owner))
        self.iam.add_role_to_instance_profile(InstanceProfileName=self.name, RoleName=self.name)

    def remove(self) -> None:
        """Remove it, if dcp made it."""
        profile = self._profile()
        if profile is None or not _ours(profile, self.owner):
            return
        for role in profile["Roles"]:
            self.iam.remove_role_from_instance_profile(
                InstanceProfileName=self.name, RoleName=role["RoleName"]
            )
        self.iam.delete_instance_profile(InstanceProfileName=self.name)

    def hand_over(self, owner: str) -> None:
        """Let it be another set-up's."""
        self.iam.tag_instance_profile(InstanceProfileName=self.name, Tags=_tags(owner))

    def _profile(self) -> Any:
        try:
            return self.iam.get_instance_profile(InstanceProfileName=self.name)["InstanceProfile"]
        except ClientError as error:
            if error_code(error) in ABSENT:
                return None
            raise


@dataclass(frozen=True)
class ServiceLinkedRole:
    """A role that AWS makes for a service of its own, once in an account; it stays.

    IAM User Guide, "Create a service-linked role".

    Attributes:
        iam: The client.
        service: The service principal.
        why: What it is for.
    """

    iam: "IAMClient"
    service: str
    why: str

    @property
    def what(self) -> str:
        """What it is, for people."""
        return f"service-linked role of {self.service} ({self.why})"

    def look(self) -> Look:
        """How it is now."""
        path = f"/aws-service-role/{self.service}/"
        pages = self.iam.get_paginator("list_roles").paginate(PathPrefix=path)
        return USED if any(page["Roles"] for page in pages) else MISSING

    def make(self, found: Look) -> None:
        """Let AWS make it; another may have done so meanwhile."""
        try:
            self.iam.create_service_linked_role(AWSServiceName=self.service)
        except ClientError as error:
            if error_code(error) not in TAKEN:
                raise

    def remove(self) -> None:
        """It stays: other programs of the account use it too."""


@dataclass(frozen=True)
class ManagedPolicy:
    """A policy to attach to whoever runs the flows.

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
    def what(self) -> str:
        """What it is, for people."""
        return f"policy {self.name}"

    def look(self) -> Look:
        """How it is now."""
        found = self._policy()
        if found is None:
            return MISSING
        if not _ours(found, self.owner):
            return IN_THE_WAY
        version = self.iam.get_policy_version(
            PolicyArn=self.arn, VersionId=found["DefaultVersionId"]
        )["PolicyVersion"]
        if same(_decoded(version["Document"]), self.policy):
            return AS_MADE
        return Look("differs", "its default version")

    def make(self, found: Look) -> None:
        """Make the policy, or a new version of it."""
        document = json.dumps(self.policy, separators=(",", ":"))
        if found == MISSING:
            self.iam.create_policy(
                PolicyName=self.name, PolicyDocument=document, Tags=_tags(self.owner)
            )
            return
        versions = self._older_versions()
        if len(versions) == VERSIONS - 1:
            self.iam.delete_policy_version(PolicyArn=self.arn, VersionId=versions[0])
        self.iam.create_policy_version(
            PolicyArn=self.arn, PolicyDocument=document, SetAsDefault=True
        )

    def remove(self) -> None:
        """Remove it, if dcp made it. Who has it attached must have it detached first."""
        found = self._policy()
        if found is None or not _ours(found, self.owner):
            return
        for version in self._older_versions():
            self.iam.delete_policy_version(PolicyArn=self.arn, VersionId=version)
        self.iam.delete_policy(PolicyArn=self.arn)

    def _policy(self) -> Any:
        try:
            return self.iam.get_policy(PolicyArn=self.arn)["Policy"]
        except ClientError as error:
            if error_code(error) in ABSENT:
                return None
            raise

    def _older_versions(self) -> list[str]:
        """All but the default one, the oldest first."""
        pages = self.iam.get_paginator("list_policy_versions").paginate(PolicyArn=self.arn)
        found = [one for page in pages for one in page["Versions"]]
        older = [one for one in found if not one["IsDefaultVersion"]]
        return [one["VersionId"] for one in sorted(older, key=lambda one: one["CreateDate"])]
