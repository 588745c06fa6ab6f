"""Tables in docs/aws.md and docs/account.md, written by `python -m tasks.docs_pages.<page>`.

docs/configuration.md is written by `blocks.rendering.reference_docs`.
"""
