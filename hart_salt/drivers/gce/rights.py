"""
The permissions that Compute Engine's calls need, by the API's names of methods.

Source: *IAM permissions* of each method in Compute Engine's reference, and the lists of permissions for creating a VM
(cloud.google.com/compute/docs/access/create-enable-service-accounts-for-instances). A firewall rule also changes the
policy of its network.
"""

from __future__ import annotations

from hart_salt.drivers.rights import ALWAYS, BAKES, IMPORTS, LISTS, POWER, PROTECTION, Rights, Use

_POLICY = "compute.networks.updatePolicy"

RIGHTS = Rights(
    word="permission",
    named=r"[Rr]equired '([\w.]+)' permission",
    uses=(
        Use(
            ALWAYS,
            {
                "projects.get": ("compute.projects.get",),
                "projects.testIamPermissions": (),
                "regions.list": ("compute.regions.list",),
                "zones.list": ("compute.zones.list",),
                "machineTypes.get": ("compute.machineTypes.get",),
                "images.get": ("compute.images.get",),
                "images.getFromFamily": ("compute.images.getFromFamily",),
                "subnetworks.list": ("compute.subnetworks.list",),
                "instances.aggregatedList": ("compute.instances.list",),
                "instances.get": ("compute.instances.get",),
                "instances.insert": (
                    "compute.instances.create", "compute.instances.setLabels", "compute.instances.setMetadata",
                    "compute.instances.setTags", "compute.disks.create", "compute.disks.setLabels",
                    "compute.images.useReadOnly", "compute.subnetworks.use", "compute.subnetworks.useExternalIp",
                ),
                "instances.delete": ("compute.instances.delete",),
                "instances.setTags": ("compute.instances.setTags",),
                "instances.setMetadata": ("compute.instances.setMetadata",),
                "disks.aggregatedList": ("compute.disks.list",),
                "disks.delete": ("compute.disks.delete",),
                "firewalls.list": ("compute.firewalls.list",),
                "firewalls.insert": ("compute.firewalls.create", _POLICY),
                "firewalls.delete": ("compute.firewalls.delete", _POLICY),
                "globalOperations.get": ("compute.globalOperations.get",),
                "zoneOperations.get": ("compute.zoneOperations.get",),
                "zoneOperations.list": ("compute.zoneOperations.list",),
            },
        ),
        Use(IMPORTS, {"instances.setLabels": ("compute.instances.setLabels",)}),
        Use(
            POWER,
            {
                "instances.start": ("compute.instances.start",),
                "instances.stop": ("compute.instances.stop",),
                "instances.reset": ("compute.instances.reset",),
                "instances.setMachineType": ("compute.instances.setMachineType",),
            },
        ),
        Use(PROTECTION, {"instances.setDeletionProtection": ("compute.instances.setDeletionProtection",)}),
        Use(
            BAKES,
            {
                "images.insert": ("compute.images.create", "compute.images.setLabels", "compute.disks.useReadOnly"),
                "images.setLabels": ("compute.images.setLabels",),
                "images.delete": ("compute.images.delete",),
                "images.list": ("compute.images.list",),
            },
        ),
        Use(
            LISTS,
            {
                "machineTypes.list": ("compute.machineTypes.list",),
                "machineTypes.aggregatedList": ("compute.machineTypes.list",),
                "images.list": ("compute.images.list",),
            },
        ),
        Use("the setting `keep_volumes`", {"instances.setDiskAutoDelete": ("compute.instances.setDiskAutoDelete",)}),
        Use(
            "the setting `service_account`",
            {"instances.insert": ("compute.instances.setServiceAccount", "iam.serviceAccounts.actAs")},
        ),
    ),
)  # fmt: skip
