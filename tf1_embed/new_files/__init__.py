"""Files, and folders of them, that appear together or not at all, whatever fails or is killed.

    runs/.out.tf1_embed/    the working folder of runs/out: one run at a time has its lock
      new-0, new-1          what is written, until all of it is
      old-0, old-1          what is replaced, until all that is new is in its place
      journal               while files take their places: which ones, and where the others are
    lists/.words.txt.tf1_embed/
      home                  whose journal names the files of this folder

Files take their places by being renamed, the old ones out of the way first. An error in between
takes all of it back. If the process is killed, the next run to any of the places does: it finds
the working folder with a journal and without a lock. Once the journal is removed, the new files are
the ones that are there.
"""

from tf1_embed.new_files.disk import check_absent, flush_to_disk
from tf1_embed.new_files.identities import check_not_read, identities
from tf1_embed.new_files.together import NewFiles, new_file, published, write_together
from tf1_embed.new_files.working_folder import has_leftovers

__all__ = [
    "NewFiles",
    "check_absent",
    "check_not_read",
    "flush_to_disk",
    "has_leftovers",
    "identities",
    "new_file",
    "published",
    "write_together",
]
