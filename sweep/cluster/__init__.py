"""Cluster files, checked without a cloud: Ray's (`ray up`) and KubeRay's."""
