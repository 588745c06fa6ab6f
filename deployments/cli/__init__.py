"""The command `dcp`: entry point, application, error reporting. The commands are in `commands`.

No imports in this file: `main` must handle Ctrl-C before anything slow is imported.
"""
