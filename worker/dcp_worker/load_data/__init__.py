"""The LoadData CSV of a job: its rows, their groups and types, and a copy of it with local paths.

It works on local files alone; the CSV and its images are downloaded by `inputs`.
"""
