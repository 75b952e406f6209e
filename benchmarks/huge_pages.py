"""What huge pages gain: the same steps once more, with glibc asking for them.

`GLIBC_TUNABLES=glibc.malloc.hugetlb=1` (glibc 2.35 and later) makes `malloc` mark what it gets from
the system with `madvise`, which counts where /sys/kernel/mm/transparent_hugepage/enabled is
"madvise"; where it is "always", they are there without. The processes say how many they had.
"""

import copy

from benchmarks import steps

TUNABLES = "glibc.malloc.hugetlb=1"
SUFFIX = "-huge"


def run(options):
    """Measures the smallest and the largest table, with huge pages."""
    options = copy.copy(options)
    options.environ, options.suffix = {"GLIBC_TUNABLES": TUNABLES}, SUFFIX
    options.peers = ["apart", "full", "chosen_rows", "torch_two_tables"]
    options.optimizer = ["sgd"]
    options.old_rows = options.old_rows or ([10**4] if options.quick else [10**4, 10**6, 10**7])
    steps.run(options)
