"""Write the weights of a run as one small file, to pass on or to publish.

ghostexp weights RUN FILE.safetensors           in float32
ghostexp weights RUN FILE.safetensors --half    weights of layers in float16: half of the bytes

Others load the file with model.weights=FILE. It carries the config of the network, the metrics of
the test, and the digest and the revision of the run.
"""

import argparse
import hashlib
from pathlib import Path

from ghostexp.config import cli
from ghostexp.runs.weights_file import write_weights


@cli.script
def main(arguments: list[str] | None = None) -> int:
    """Exit code: 1 with one sentence for what went wrong, else 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument("file", type=Path, metavar="FILE", help="new file, *.safetensors")
    parser.add_argument("--half", action="store_true", help="weights of layers in float16")
    options = parser.parse_args(arguments)
    content = write_weights(options.run, options.file, half=options.half)
    print(f"wrote {options.file}, {len(content):,} bytes")
    print(f"SHA-256: {hashlib.sha256(content).hexdigest()}")
    return 0
