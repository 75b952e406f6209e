"""`python -m tf1_embed` is the command `tf1-embed`."""

import sys

from tf1_embed.cli import main

sys.exit(main())
