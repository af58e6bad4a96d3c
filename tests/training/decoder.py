"""A process that loads an image folder; run by test_node_cache.py.

    python decoder.py FOLDER OPENED [STUCK_AT]

It adds a byte to the file OPENED for each image that it opens. At its image number STUCK_AT it says so and stays there.
At the end it prints a digest of what it sees.
"""

import hashlib
import sys
import threading
from pathlib import Path

import PIL.Image

from sweep.training import data

folder, opened, *rest = sys.argv[1:]
stuck_at = int(rest[0]) if rest else None
really_open = PIL.Image.open
saying = threading.Lock()


def counted(*args, **options):
    with Path(opened).open("ab") as file:
        file.write(b".")
    if stuck_at is not None and Path(opened).stat().st_size >= stuck_at:
        # The other threads that decode come here too: one of them says so.
        if saying.acquire(blocking=False):
            print("stuck", flush=True)
        threading.Event().wait()
    return really_open(*args, **options)


PIL.Image.open = counted
loaded = data.load("image_folder", folder=folder, image_size=8)
digest = hashlib.sha256()
for pair in (loaded.train, loaded.val, loaded.test):
    for tensor in pair:
        digest.update(tensor.numpy().tobytes())
print(digest.hexdigest(), flush=True)
