"""The imports of the modules of blocks: no cycle, and Prefect only in one module."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import blocks

FOLDER = Path(blocks.__file__).parent
MODULES = {
    ".".join(path.relative_to(FOLDER.parent).with_suffix("").parts): ast.parse(path.read_text())
    for path in sorted(FOLDER.rglob("*.py"))
    if path.stem != "__init__"
}


def imports_of(tree: ast.Module) -> set[str]:
    """Every imported module, including imports for types and inside functions."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {name: imports_of(tree) & MODULES.keys() for name, tree in MODULES.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError


def test_reading_files_needs_neither_prefect_nor_boto3() -> None:
    code = (
        "import sys\n"
        "from blocks.loading.load import load_fleet, parse_config\n"
        "from blocks.job_file.model import parse_job_file\n"
        "parse_config('aws_bucket: my-bucket\\ndockerhub_tag: me/worker:1', 'c.yaml').credentials\n"
        "load_fleet(None)\n"
        "print({name.split('.')[0] for name in sys.modules} & {'prefect', 'boto3', 'botocore'})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
