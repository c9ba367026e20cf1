"""App: tasks as decorated functions."""

from asynqio.app.app import App

__all__ = ["App"]
