"""The LoadData CSV of a job: its rows, their groups and types, and a copy with local paths.

Works only on local files; `inputs` downloads the CSV and its images.
"""
