"""A fleet file of a Distributed-CellProfiler user."""

from typing import Any

DCP_FLEET: dict[str, Any] = {
    "IamFleetRole": "arn:aws:iam::123456789012:role/aws-ec2-spot-fleet-tagging-role",
    "AllocationStrategy": "lowestPrice",
    "TargetCapacity": 1,
    "SpotPrice": "0.20",
    "ValidFrom": "2015-11-05T16:29:00Z",
    "ValidUntil": "2015-11-05T16:29:00Z",
    "TerminateInstancesWithExpiration": True,
    "Type": "maintain",
    "LaunchSpecifications": [
        {
            "ImageId": "ami-0123456789abcdef0",
            "KeyName": "lab",
            "IamInstanceProfile": {"Arn": "arn:aws:iam::123456789012:instance-profile/ecs"},
            "BlockDeviceMappings": [
                {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8, "SnapshotId": "snap-1a2b3c"}},
                {"DeviceName": "/dev/xvdcz", "Ebs": {"VolumeSize": 22, "VolumeType": "gp2"}},
            ],
            "NetworkInterfaces": [
                {
                    "DeviceIndex": 0,
                    "SubnetId": "subnet-1a2b3c4d",
                    "AssociatePublicIpAddress": True,
                    "Groups": ["sg-1a2b3c4d"],
                }
            ],
        }
    ],
}
