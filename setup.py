"""Packaging of tf1_embed. TensorFlow is an extra: whoever runs a vendor's build keeps it."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent


def read(path):
    """Returns the text of a file of this folder."""
    return (HERE / path).read_text(encoding="utf-8")


NOTEBOOKS = ["ipykernel", "matplotlib", "nbclient", "tqdm"]
TEST = ["argcomplete", "hypothesis", "pytest", "pytest-xdist", "setuptools", "tensorboard", "wheel"]
TEST += NOTEBOOKS

setup(
    name="tf1-embed",
    # Read, not imported: the build needs neither NumPy nor TensorFlow.
    version=re.search(r'^__version__ = "(.+)"$', read("tf1_embed/version.py"), re.M).group(1),
    description="Grow a trained TensorFlow embedding table and train only its new rows.",
    long_description=read("README.md"),
    long_description_content_type="text/markdown",
    author="The tf1_embed authors",
    license="Apache-2.0",
    packages=find_packages(include=["tf1_embed", "tf1_embed.*"]),
    package_data={"tf1_embed": ["py.typed"]},
    python_requires=">=3.7",
    install_requires=["numpy"],
    extras_require={
        "tf": ["tensorflow>=1.13.1"],
        "plot": ["matplotlib"],
        "cli": ["argcomplete", "tqdm"],
        "notebooks": NOTEBOOKS,
        "test": TEST,
        "dev": TEST + ["build", "mypy", "pyperf", "ruff", "types-tensorflow"],
    },
    entry_points={"console_scripts": ["tf1-embed = tf1_embed.cli:main"]},
    keywords="tensorflow embedding fine-tuning frozen rows checkpoint vocabulary",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.7",
        "Programming Language :: Python :: 3.8",
        "Programming Language :: Python :: 3.9",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
