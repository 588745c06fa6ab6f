"""Job files of every form."""

from typing import Any

BASE = {"pipeline": "p.cppipe", "data_file": "l.csv", "output": "out"}

FORMS: list[dict[str, Any]] = [
    {**BASE, "groups": [{"Metadata": "Metadata_Plate=P1,Metadata_Well=A01"}]},
    {**BASE, "output_structure": "W", "groups": [{"W": "A01"}, {"W": "A02"}]},
    {**BASE, "output_structure": "W", "groups": [[{"W": "01"}, [1, 2]]]},
    {**BASE, "groups": {"by": ["Metadata_Plate"], "plates": ["P1"], "first": 3}},
    {**BASE, "groups": {"format": 96, "plates": ["P1"], "sites": "1-3", "pad": False}},
    {
        "step": "analysis",
        "identifier": "I",
        "batch": "B",
        "path_style": "cpg",
        "source": "S",
        "plates": ["P1"],
        "groups": {"rows": "A-B", "columns": "1-3"},
    },
]
