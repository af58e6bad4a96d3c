"""EC2, IAM and S3 as moto has them, in a process of its own: answers at an address, and to lines of JSON on stdin.

At a second address is the service that tells a machine about itself, of which moto has nothing.
"""

import json
import sys
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID
from moto.server import ThreadedMotoServer

# As `ray up` makes them when an account has none, and waits 30 s for; most accounts that ran Ray have them.
PROFILE = "ray-autoscaler-v1"
# What cluster/gpu.yaml names, and cluster/README.md makes.
ROLE = "sweep"
BUCKET = "models-of-ours"

NOTICES = {}
"""Private address of a spot machine that is taken back, to when: seconds since 1970."""


class Metadata(BaseHTTPRequestHandler):
    """Version 2, which answers nobody without a token. All that it knows is the notice to spot machines."""

    def do_PUT(self):
        self.answer("a token" if self.path == "/latest/api/token" else None)

    def do_GET(self):
        if self.headers.get("X-aws-ec2-metadata-token") != "a token":
            self.send_error(401)
            return
        at = NOTICES.get(self.client_address[0])
        if at is None or self.path != "/latest/meta-data/spot/instance-action":
            self.answer(None)
            return
        moment = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.answer(json.dumps({"action": "terminate", "time": moment}))

    def answer(self, text):
        if text is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *words):
        pass


def main(host, port, region, metadata):
    threading.Thread(target=ThreadingHTTPServer((metadata, 80), Metadata).serve_forever, daemon=True).start()
    ThreadedMotoServer(ip_address=host, port=int(port), verbose=False).start()
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    reach = {"endpoint_url": f"http://{host}:{port}", "region_name": region, **keys}
    ec2, iam, s3 = (boto3.client(name, **reach) for name in ("ec2", "iam", "s3"))
    backend = get_backend("ec2")[DEFAULT_ACCOUNT_ID][region]

    def account():
        """What an operator has made beforehand; the ids go into the cluster's file."""
        for name in (PROFILE, ROLE):
            iam.create_instance_profile(InstanceProfileName=name)
            iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
            iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": region})
        vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
        made = ec2.create_security_group(VpcId=vpc, GroupName="sweep-gpu", Description="sweep's clusters")
        return {"group": made["GroupId"], "image": next(iter(backend.amis)), "bucket": BUCKET}

    def instances():
        return [
            {
                "id": one.id, "state": one.state, "type": one.instance_type, "spot": one.lifecycle == "spot",
                "private": one.private_ip, "public": one.public_ip,
                "key": backend.key_pairs[one.key_name].material_public.decode(),
            }
            for one in backend.all_instances()
        ]  # fmt: skip

    def objects(prefix):
        """Key to text of all objects below it."""
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        keys = [each["Key"] for page in pages for each in page.get("Contents", ())]
        return {key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode() for key in keys}

    def announce(instance, seconds):
        (private,) = (one["private"] for one in instances() if one["id"] == instance)
        NOTICES[private] = time.time() + seconds

    def terminate(instance):
        ec2.terminate_instances(InstanceIds=[instance])

    known = {each.__name__: each for each in (account, instances, objects, announce, terminate)}
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(known[name](*arguments)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
