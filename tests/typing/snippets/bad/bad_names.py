"""Names that do not exist."""

import asynqio
from asynqio import App, Clent  # E: Module "asynqio" has no attribute "Clent"
from asynqio.sync import Server  # E: [attr-defined]

asynqio.open_borker("memory://")  # E: [attr-defined]
App("memory://").enqeue()  # E: [attr-defined]
asynqio.current().staet  # E: [attr-defined]
