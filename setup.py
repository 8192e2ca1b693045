from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="slot_attention_tf",
    version="0.1.0",
    description=(
        "Slot Attention (Locatello et al., NeurIPS 2020) for TensorFlow and Keras 3: "
        "the layer, object discovery and set prediction, data, training, evaluation."
    ),
    long_description=Path(__file__).with_name("README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.14",
    packages=find_packages(include=["slot_attention_tf", "slot_attention_tf.*"]),
    package_data={"slot_attention_tf": ["weights/*"]},
    py_modules=["train_discovery", "train_set_prediction"],
    install_requires=[
        "tensorflow>=2.20,<2.22",
        "keras>=3.10,<3.16",
        "tensorflow-datasets>=4.9.7,<5",
        "numpy>=1.26,<3",
        "scipy>=1.11",
        "absl-py>=2.0",
        "matplotlib>=3.10",
        "tensorboard>=2.20",
        "tqdm>=4.60",
        # TensorFlow Datasets 4.9.10 imports it without requiring it.
        "importlib_resources>=6.0",
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.20,<2.22"],
        "jax": ["jax>=0.6.0"],
        "dev": ["pytest>=8", "pytest-xdist>=3.5", "ruff>=0.9", "jax>=0.6.0"],
    },
    entry_points={
        "console_scripts": [
            "slot-attention-discovery=train_discovery:run",
            "slot-attention-set-prediction=train_set_prediction:run",
        ]
    },
    classifiers=[
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
