"""
The permissions that Amazon's calls need, by the names of calls and of actions in policies.

Source: Amazon's service authorization reference for EC2 (docs.aws.amazon.com/service-authorization): an action has the
name of its call, tags in a create call need ``ec2:CreateTags``, and an instance profile needs ``iam:PassRole``.
"""

from __future__ import annotations

from hart_salt.drivers.rights import ALWAYS, BAKES, CHECKS, IMPORTS, POWER, PRICES, Rights, Use

TAGS = "ec2:CreateTags"

RIGHTS = Rights(
    word="permission",
    named=r"not authorized to perform: ([\w-]+:\w+)",
    uses=(
        Use(
            ALWAYS,
            {
                "GetCallerIdentity": (),
                **{
                    call: (f"ec2:{call}",)
                    for call in (
                        "DescribeRegions", "DescribeAvailabilityZones", "DescribeInstanceTypes",
                        "DescribeInstanceTypeOfferings", "DescribeImages", "DescribeSubnets",
                        "DescribeSecurityGroups", "DescribeNetworkInterfaces", "DescribeInstances",
                        "DescribeVolumes", "DescribeTags", "TerminateInstances", "AuthorizeSecurityGroupIngress",
                        "DeleteSecurityGroup", "ModifyInstanceAttribute", "ModifyNetworkInterfaceAttribute",
                        "DeleteVolume",
                    )
                },
                "RunInstances": ("ec2:RunInstances", TAGS),
                "CreateSecurityGroup": ("ec2:CreateSecurityGroup", TAGS),
            },
        ),
        Use(IMPORTS, {"CreateTags": (TAGS,), "DeleteTags": ("ec2:DeleteTags",)}),
        Use(POWER, {call: (f"ec2:{call}",) for call in ("StartInstances", "StopInstances", "RebootInstances")}),
        Use(
            BAKES,
            {
                **{call: (f"ec2:{call}", TAGS) for call in ("CreateImage", "CopyImage")},
                **{call: (f"ec2:{call}",) for call in ("DescribeSnapshots", "DeregisterImage", "DeleteSnapshot")},
            },
        ),
        Use("the setting `spot`", {"DescribeSpotInstanceRequests": ("ec2:DescribeSpotInstanceRequests",)}),
        Use("the setting `instance_profile`", {"RunInstances": ("iam:PassRole",)}),
        Use(PRICES, {"GetProducts": ("pricing:GetProducts",)}),
        Use(CHECKS, {"GetServiceQuota": ("servicequotas:GetServiceQuota",)}),
    ),
)  # fmt: skip
