"""How Sphinx builds the site from the pages of this folder and the docstrings: `make docs`."""

import re
import shutil
import textwrap
from pathlib import Path

from docutils import nodes

import tf1_embed

# Sphinx sees only what is in this folder.
HERE = Path(__file__).resolve().parent
shutil.rmtree(HERE / "notebooks", ignore_errors=True)
programs = shutil.ignore_patterns("*.py")
shutil.copytree(HERE.parent / "notebooks", HERE / "notebooks", ignore=programs)

project = "tf1_embed"
author = "The tf1_embed authors"
release = tf1_embed.__version__
html_title = f"tf1_embed {release}"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
# So that a misspelt reference is an error, as any other warning.
nitpicky = True
nitpick_ignore_regex = [("py:exc", r"tf\..*"), ("py:class", r"(numpy|tensorflow)\..*")]
highlight_language = "none"
# Two dashes begin an option.
smartquotes = False

# As on a code host: every heading has an anchor.
myst_heading_anchors = 4
# The notebooks are shown as they are stored; `make notebooks` runs them.
nb_execution_mode = "off"

# Only the docstrings are read: the site is built without TensorFlow and matplotlib.
# The docstrings say of what type things are, with shapes and units.
autodoc_typehints = "none"
autodoc_mock_imports = ["tensorflow", "matplotlib"]
autodoc_member_order = "bysource"
autodoc_class_signature = "separated"
autodoc_preserve_defaults = True
toc_object_entries_show_parents = "hide"
python_maximum_signature_line_length = 88
napoleon_use_ivar = True
napoleon_use_rtype = False
# Docstrings have `names` in single backticks.
default_role = "code"

pygments_dark_style = "github-dark"

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_theme_options = {"top_of_page_buttons": []}


def keep_pictures(app, what, name, obj, options, lines):
    """Makes literal blocks of the pictures, and of the tables, that stand before the sections."""
    blocks = "\n".join(lines).split("\n\n")
    for number, block in enumerate(blocks):
        if re.match(r"\w+:\n", block):
            break
        if block.startswith(("    ", "|")):
            blocks[number] = "::\n\n" + textwrap.indent(block, "    ")
        else:  # Outside of backticks, an asterisk is one.
            parts = block.split("`")
            parts[::2] = [part.replace("*", r"\*") for part in parts[::2]]
            blocks[number] = "`".join(parts)
    lines[:] = "\n\n".join(blocks).split("\n")


def use_dashes(app, doctree):
    """Puts a dash where Sphinx has put hyphens, between an argument and what it is."""
    for text in list(doctree.findall(lambda node: node == " -- ")):
        text.parent.replace(text, nodes.Text(" – "))


def setup(app):
    """Connects the functions above."""
    # Before Napoleon, at 500, reads the sections.
    app.connect("autodoc-process-docstring", keep_pictures, priority=400)
    app.connect("doctree-read", use_dashes)
