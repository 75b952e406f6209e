"""tf1_embed: `grow_checkpoint`, with every checksum and a certificate of the old rows."""

import os

import tf1_embed
from benchmarks.growers import protocol


def grow(job):
    out = os.path.join(job.out, "grown")
    tf1_embed.grow_checkpoint(job.prefix, ["table"], out, num_new_rows=job.new_rows)


if __name__ == "__main__":
    protocol.run(grow)
