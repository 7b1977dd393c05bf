"""The benchmark of loaders: photos from files and from shards."""

from pathlib import Path

from ghostexp.commands.benchmark.options import add_out, new_parser, write_out
from ghostexp.config.mistakes import users_mistakes
from ghostexp.config.options import check_out, number, numbers
from ghostexp.results import loader_table
from ghostexp.results.latency_file import document
from ghostexp.results.record import command_line
from ghostexp.runs.loader_times import described, time_loaders


def loader(arguments: list[str]) -> None:
    """Loaders of photos: torchvision's, timm's, ours of the files and ours of shards."""
    parser = new_parser(
        "loader",
        "Time passes over photos by torchvision's loader, by timm's, and by ours of files and of "
        "shards.",
    )
    parser.add_argument(
        "--photos", type=Path, help="folder that holds train and val (default: 5,000 made photos)"
    )
    parser.add_argument(
        "--batch", type=number, default=64, help="photos per batch (default: %(default)s)"
    )
    parser.add_argument(
        "--threads", type=numbers, default=[1, 2], help="worker processes (default: 1,2)"
    )
    add_out(parser)
    options = parser.parse_intermixed_args(arguments)
    check_out(options.out)
    with users_mistakes("loader"):
        rows = time_loaders(
            options.photos,
            workers=options.threads,
            batch_size=options.batch,
            rounds=options.rounds,
        )
    everything = document(rows, described(options.rounds), command_line())
    print(loader_table.to_markdown(everything))
    write_out(loader_table.write_loaders, everything, options.out)
