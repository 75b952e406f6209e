"""Runs the notebooks, each in a kernel of its own, and stores in them what they print and draw.

python notebooks/execute.py
"""

import os
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent

# Neither TensorFlow's log nor warnings of old versions about newer ones belong to a lesson.
ENVIRONMENT = {
    "PYTHONPATH": str(FOLDER.parent),
    "PYTHONWARNINGS": "ignore",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}

# Without the versions that it was run with, which would change it each time.
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def execute(path):
    """Returns the notebook of a path as running it leaves it; a cell that fails raises."""
    notebook = nbformat.read(str(path), as_version=4)
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(FOLDER)}},
    )
    client.execute(env={**os.environ, **ENVIRONMENT})
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/svg+xml" in output.get("data", {}):
                # Where the site looks for what an image shows.
                words = output.data["text/plain"].replace("Picture: ", "", 1)
                cell.metadata["mystnb"] = {"image": {"alt": words}}
    return notebook


def main():
    for path in sorted(FOLDER.glob("*.ipynb")):
        start = time.monotonic()
        nbformat.write(execute(path), str(path))
        print(f"{path.name}: {time.monotonic() - start:.0f} s, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
