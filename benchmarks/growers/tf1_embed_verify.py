"""tf1_embed: `verify_checkpoint`, all old rows of a grown checkpoint, bit for bit."""

import os

import tf1_embed
from benchmarks.growers import protocol


def verify(job):
    grown = os.path.join(job.out, os.pardir, "tf1_embed_grow", "grown")
    (found,) = tf1_embed.verify_checkpoint(job.prefix, grown, ["table"])
    if found.num_changed:
        raise SystemExit("old rows are not those of the base")


if __name__ == "__main__":
    protocol.run(verify)
