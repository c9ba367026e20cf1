"""Declares `asynqio gateway`."""

from __future__ import annotations

from typing import Annotated

from typer import Exit, Option

from asynqio.cli.options import LogFormat, LogFormatOption, LogLevel, LogLevelOption


def gateway(
    broker: Annotated[
        str | None,
        Option(
            metavar="URL",
            envvar="ASYNQIO_BROKER",
            show_envvar=True,
            help="The broker behind the gateway (default memory://: tasks are lost when the gateway ends).",
        ),
    ] = None,
    addr: Annotated[
        str | None,
        Option(
            metavar="HOST:PORT",
            envvar="ASYNQ_SERVER_ADDR",
            show_envvar=True,
            help="Where to listen (default 127.0.0.1:8080). Port 0: any free port.",
        ),
    ] = None,
    tenant_config: Annotated[
        str | None,
        Option(
            metavar="FILE",
            envvar="ASYNQ_TENANT_CONFIG",
            show_envvar=True,
            help="The tenants, as JSON: enables authentication by tenant.",
        ),
    ] = None,
    tls_cert: Annotated[
        str | None, Option(metavar="FILE", help="Certificate, with its chain, as PEM.")
    ] = None,
    tls_key: Annotated[
        str | None, Option(metavar="FILE", help="Private key of the certificate, as PEM.")
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        Option(
            metavar="ADDRESS",
            help="A proxy, or a network of proxies, whose X-Forwarded-… headers count. May be repeated.",
        ),
    ] = None,
    insecure_no_auth: Annotated[
        bool,
        Option("--insecure-no-auth", help="Listen beyond this machine without authentication."),
    ] = False,
    lease: Annotated[
        float | None,
        Option(metavar="SECONDS", help="Time after which tasks of a lost client run elsewhere (default 30)."),
    ] = None,
    log_level: LogLevelOption = LogLevel.INFO,
    log_format: LogFormatOption = LogFormat.TEXT,
) -> None:
    """Serve tasks to clients in any language, over WebSocket and HTTP.

    Speaks the protocol of asynq-server: clients and consumers of the Rust crate asynq connect to it unchanged.

    The account of a gateway without tenants is ASYNQ_USERNAME and ASYNQ_PASSWORD, the administrator
    ASYNQIO_ADMIN_USERNAME and ASYNQIO_ADMIN_PASSWORD, or ASYNQIO_ADMIN_TOKEN.

    INT (Ctrl-C) and TERM stop the gateway: tasks that clients hold go back to their queues.
    """
    from asynqio.cli.gateway.run import run

    settings = {
        "address": addr,
        "tenant_config": tenant_config,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "trusted_proxies": tuple(trusted_proxy) if trusted_proxy else None,
        "insecure_no_auth": insecure_no_auth or None,
        "lease": lease,
    }
    raise Exit(run(broker, settings, log_level=log_level.value, log_format=log_format.value))
