"""Models written for people and editors: YAML with comments, docs/configuration.md, JSON schemas.

Also the Jinja templates of Markdown pages in general. Reading YAML is in `blocks.yaml_json`.
"""
