"""Reads the events of a run as TensorBoard does.

Called as `events.py FOLDER`. Prints one JSON object: for each name its points as `[step, value]`, in their order.
"""

import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def main():
    accumulator = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
    accumulator.Reload()
    names = accumulator.Tags()["scalars"]
    points = {name: [[event.step, event.value] for event in accumulator.Scalars(name)] for name in names}
    print(json.dumps(points))


main()
