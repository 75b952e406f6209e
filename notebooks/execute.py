"""Runs the notebooks, each in a kernel of its own, and stores in them what they print and draw.

python notebooks/execute.py
"""

import base64
import io
import os
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

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
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = _smaller(output.data["image/png"])
    return notebook


def _smaller(png):
    """Returns a picture with 64 colours, which are enough for lines and letters."""
    with Image.open(io.BytesIO(base64.b64decode(png))) as image:
        file = io.BytesIO()
        image.convert("RGB").quantize(64).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def main():
    for path in sorted(FOLDER.glob("*.ipynb")):
        start = time.monotonic()
        nbformat.write(execute(path), str(path))
        print(f"{path.name}: {time.monotonic() - start:.0f} s, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
