"""What routes get besides the request: parameters named `gateway`, `store` and `principal`."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from litestar.di import Dependency
from litestar.params import SkipValidationMarker

from asynqio.brokers.contract.broker import Store
from asynqio.gateway.gateway import Gateway
from asynqio.gateway.principals.principal import Principal

# Without the marker, each request would check that the store has all methods of its protocol.
GatewayDependency: TypeAlias = Annotated[Gateway, Dependency(), SkipValidationMarker()]
#: The store as the principal of the request may use it.
StoreDependency: TypeAlias = Annotated[Store, Dependency(), SkipValidationMarker()]
PrincipalDependency: TypeAlias = Annotated[Principal, Dependency(), SkipValidationMarker()]
