"""The record of an attempt and how it ended."""
