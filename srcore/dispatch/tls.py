"""TLS of a Dask scheduler: what would be seen only behind a timeout, or never, is told before anything is asked."""

from __future__ import annotations

import ssl
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from srcore.errors import PlanError

ENCRYPTED = "distributed.comm.require-encryption"
OUT_OF_DATE = frozenset({9, 10})
"""OpenSSL's codes of a certificate that is not yet valid, or not any more."""


def refuse_open_scheduler(scheduler: str) -> None:
    """PlanError for a scheduler beyond this machine without TLS: whoever reaches it can run any code on it."""
    if not scheduler:
        return
    # Dask takes HOST:PORT for tcp://HOST:PORT
    address = urlsplit(scheduler if "://" in scheduler else f"tcp://{scheduler}")
    if address.scheme in ("inproc", "tls") or _is_loopback(address.hostname or ""):
        return
    raise PlanError(
        "a Dask scheduler beyond this machine needs TLS",
        scheduler,
        "start it with TLS, set distributed.comm.tls here and use tls://HOST:PORT",
        code="OPEN_SCHEDULER",
    )


def refuse_without_tls(address: str, role: Literal["client", "worker"] = "client") -> None:
    """PlanError NO_TLS where one of address and settings of Dask wants TLS and the other has none that holds."""
    import dask
    from distributed.security import Security

    scheme = urlsplit(address).scheme
    if address and scheme not in ("tls", "inproc") and dask.config.get(ENCRYPTED, False):
        raise PlanError(
            f"Dask's settings want TLS, and {address} has none",
            ENCRYPTED,
            "use tls://HOST:PORT, or unset it",
            code="NO_TLS",
        )
    if scheme != "tls":
        return
    try:
        asks, answers = (
            of(role).get("ssl_context") for of in (Security().get_connection_args, Security().get_listen_args)
        )
        found = "no certificate in Dask's settings" if asks is None or answers is None else _out_of_date(asks, answers)
    except OSError as error:  # of ssl, too
        found = f"{error.strerror or error}"
    if found:
        raise PlanError(
            f"{address} wants TLS, and there is none here that holds",
            found,
            f"set distributed.comm.tls.ca-file, .{role}.cert and .{role}.key in Dask's YAML, or as "
            "DASK_DISTRIBUTED__COMM__TLS__CA_FILE and so on",
            code="NO_TLS",
        )


def _out_of_date(asks: ssl.SSLContext, answers: ssl.SSLContext) -> str:
    """What is wrong with the time of a certificate, by a handshake with itself in memory; '' where nothing is."""
    to_answers, to_asks = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (asks.wrap_bio(to_asks, to_answers), answers.wrap_bio(to_answers, to_asks, server_side=True))
    for end in (*ends, *ends):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:  # it is the other's turn
            continue
        except ssl.SSLCertVerificationError as error:
            return error.verify_message if error.verify_code in OUT_OF_DATE else ""
        except ssl.SSLError:  # whoever is asked there judges the rest
            return ""
    return ""


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"
