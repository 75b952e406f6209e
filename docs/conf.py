"""How Sphinx builds the site from the pages of this folder and the docstrings: `make docs`."""

import json
import re
import shutil
import tempfile
import textwrap
import zlib
from pathlib import Path

from docutils import nodes
from sphinx.util.nodes import make_refnode

import tf1_embed

# Sphinx sees only what is in this folder.
HERE = Path(__file__).resolve().parent
shutil.rmtree(HERE / "notebooks", ignore_errors=True)
programs = shutil.ignore_patterns("*.py", "__pycache__", ".ipynb_checkpoints")
shutil.copytree(HERE.parent / "notebooks", HERE / "notebooks", ignore=programs)
(HERE / "notebooks" / "download").mkdir()
for page in (HERE / "notebooks").glob("*.ipynb"):
    shutil.copy(page, page.parent / "download")
    notebook = json.loads(page.read_text(encoding="utf-8"))
    link = f"{{download}}`Download this notebook <download/{page.name}>`"
    cell = {"cell_type": "markdown", "id": "download", "metadata": {}, "source": link}
    notebook["cells"].insert(1, cell)
    page.write_text(json.dumps(notebook), encoding="utf-8")

project = "tf1_embed"
author = "The tf1_embed authors"
release = tf1_embed.__version__
html_title = f"tf1_embed {release}"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["notebooks/download"]

# Names of other projects that these pages use. Their inventories are made here, of these names
# alone, so that the site is built without a network: (site, role, page of a name, names).
OTHERS = {
    "python": (
        "https://docs.python.org/3",
        "py:exception",
        "library/exceptions.html#$",
        "AttributeError FileExistsError FileNotFoundError ImportError IndexError KeyError OSError "
        "NotImplementedError RuntimeError TypeError ValueError",
    ),
    "numpy": (
        "https://numpy.org/doc/stable",
        "py:class",
        "reference/generated/$.html#$",
        "numpy.array numpy.dtype numpy.load numpy.memmap numpy.ndarray numpy.save",
    ),
}


def make_inventory(project, role, page, names):
    """Writes an inventory of Sphinx, version 2; returns its path."""
    lines = "".join(f"{name} {role} 1 {page} -\n" for name in names.split())
    head = f"# Sphinx inventory version 2\n# Project: {project}\n# Version: \n"
    head += "# The remainder of this file is compressed using zlib.\n"
    path = Path(tempfile.mkdtemp()) / "objects.inv"
    path.write_bytes(head.encode() + zlib.compress(lines.encode()))
    return str(path)


intersphinx_mapping = {
    project: (site, make_inventory(project, *inventory))
    for project, (site, *inventory) in OTHERS.items()
}

# Of a console block what stands after the prompts is copied, not what the commands print.
copybutton_prompt_text = "$ "
copybutton_selector = "div:not(.highlight-text) > div.highlight pre"
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

# Only the docstrings are read: the site is built without TensorFlow, protobuf and matplotlib.
# The docstrings say of what type things are, with shapes and units.
autodoc_typehints = "none"
autodoc_mock_imports = ["google", "matplotlib", "tensorflow"]
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
        else:  # Outside of backticks, an asterisk is one, and so is a bar.
            parts = block.split("`")
            parts[::2] = [re.sub(r"[*|]", r"\\\g<0>", part) for part in parts[::2]]
            blocks[number] = "`".join(parts)
    lines[:] = "\n\n".join(blocks).split("\n")


def skip_constructors_of_tuples(app, what, name, obj, skip, options):
    """Leaves `__new__` out, which tells of a named tuple what its attributes have told."""
    return True if name == "__new__" else None


def link_names(app, doctree, docname):
    """Makes links of the names in code type: of this library, its command, Python and NumPy."""
    objects = app.env.get_domain("py").objects
    # Classes that are named without their module, such as "list of `Variable`".
    classes = {}
    for full in objects:
        classes.setdefault(full.rpartition(".")[2], []).append(full)
    classes = {
        name: found[0] for name, found in classes.items() if len(found) == 1 and name[0].isupper()
    }
    for literal in list(doctree.findall(nodes.literal)):
        above, inside = literal.parent, []
        while above is not None:
            inside.append(type(above))
            above = above.parent
        if nodes.reference in inside or nodes.title in inside:
            continue
        text = literal.astext()
        name = re.sub(r"\(.*\)$", "", text)
        known = objects.get(name) or objects.get(f"tf1_embed.{name}")
        known = known or objects.get(classes.get(name, ""))
        command = re.match(r"tf1-embed ((?:delta )?[a-z]+)", text)
        other = re.sub(r"^np\.", "numpy.", name)
        if known is not None and re.fullmatch(r"[\w.]+", name):
            page, anchor = known.docname, known.node_id
            link = make_refnode(app.builder, docname, page, anchor, literal.deepcopy(), name)
        elif command and docname != "cli":
            anchor = command.group(1).replace(" ", "-")
            link = make_refnode(app.builder, docname, "cli", anchor, literal.deepcopy())
        else:
            for site, _, page, names in OTHERS.values():
                if other in names.split():
                    uri = f"{site}/{page.replace('$', other)}"
                    link = nodes.reference("", "", literal.deepcopy(), refuri=uri, internal=False)
                    break
            else:
                continue
        literal.parent.replace(literal, link)


def use_dashes(app, doctree):
    """Puts a dash where Sphinx has put hyphens, between an argument and what it is."""
    for text in list(doctree.findall(lambda node: node == " -- ")):
        text.parent.replace(text, nodes.Text(" – "))


def setup(app):
    """Connects the functions above."""
    # Before Napoleon, at 500, reads the sections.
    app.connect("autodoc-process-docstring", keep_pictures, priority=400)
    app.connect("autodoc-skip-member", skip_constructors_of_tuples)
    app.connect("doctree-read", use_dashes)
    app.connect("doctree-resolved", link_names)
