"""The record of a run is read whichever version of dcp wrote it."""

import json
from collections.abc import Callable

from blocks.loading.load import parse_config
from tasks.runs import record
from tasks.runs.run import Run


def test_a_run_begun_by_an_earlier_version_is_opened(make_run: Callable[..., Run]) -> None:
    run = make_run(max_hours=10)
    text = record.read(run, record.RUN)
    assert text is not None
    kept = json.loads(text)
    kept["config"] |= {"auto_monitor": True, "ssh_key_name": "lab"}
    record.put(run, record.RUN, json.dumps(kept))
    found = record.find(run.aws, run.config, run.run_id)
    assert found.config == run.config
    again = record.update(found, note="it goes on")
    assert again.config["ssh_key_name"] == "lab", "what another version knows is kept"
    # Flow runs that the command line starts get the settings as a file.
    assert parse_config(json.dumps(again.settings), "config.json").max_hours == 10
