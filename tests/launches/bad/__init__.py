"""Launches that must be refused, by kind: data only."""

from launches.bad.files import FILES
from launches.bad.hostile import HOSTILE
from launches.bad.names import NAMES
from launches.bad.runs import RUNS
from launches.bad.streams import STREAMS
from launches.bad.sweeps import SWEEPS
from launches.bad.values import VALUES

BAD = (*VALUES, *NAMES, *FILES, *RUNS, *HOSTILE, *SWEEPS, *STREAMS)
