"""Unpacks of PyTorch's wheels only what a CPU build of the worker needs: headers and six libraries.

Called as `python3 unpack.py WHEELS DESTINATION`.
"""

import pathlib
import sys
import zipfile

HEADERS = "torch/include/"
LIBRARIES = {
    "torch/lib/libtorch.so",
    "torch/lib/libtorch_cpu.so",
    "torch/lib/libc10.so",
    "torch/lib/libgomp.so.1",
    "nvidia/cu13/lib/libcudart.so.13",
    "nvidia/cu13/lib/libcupti.so.13",
}


def main():
    wheels, destination = map(pathlib.Path, sys.argv[1:])
    found = set()
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name in LIBRARIES or name.startswith(HEADERS):
                    archive.extract(name, destination)
                    found.add(name)
    missing = LIBRARIES - found
    if missing:
        sys.exit("the wheels lack " + ", ".join(sorted(missing)))


main()
