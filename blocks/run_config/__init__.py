"""The run config: its fields, the rules between them, and the model that checks both.

Reading it from files is in `blocks.loading`, DCP's config.py in `blocks.dcp_compat`.
"""
