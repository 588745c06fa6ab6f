"""Checks that each request passes before its action runs: a guard refuses it or lets it pass.

`app` defines their order. IAM policies are evaluated here; the API of IAM is in `services`.
"""
