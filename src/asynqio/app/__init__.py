"""App: tasks as decorated functions, with one client and one server."""

from asynqio.app.app import App

__all__ = ["App"]
