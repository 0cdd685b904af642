"""TLS of a Dask scheduler: what is wrong with it here is told before anything waits for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from srcore.dispatch.tls import ENCRYPTED, refuse_without_tls
from srcore.errors import PlanError

dask = pytest.importorskip("dask")
pytest.importorskip("distributed")  # its defaults are read with it


def certificate(folder: Path, begins: float, ends: float) -> dict[str, str]:
    """Settings of Dask for a certificate that signs itself, good from and to so many days from now."""
    pytest.importorskip("cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key, name, now = ec.generate_private_key(ec.SECP256R1()), x509.NameOID.COMMON_NAME, datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(name, "srcore")])
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now + timedelta(days=begins))
        .not_valid_after(now + timedelta(days=ends))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.pem").write_bytes(made.public_bytes(Encoding.PEM))
    pkcs8 = PrivateFormat.PKCS8
    (folder / "tls.key").write_bytes(key.private_bytes(Encoding.PEM, pkcs8, NoEncryption()))
    tls = "distributed.comm.tls"
    pairs = {f"{tls}.{role}.cert": str(folder / "tls.pem") for role in ("client", "worker")}
    keys = {f"{tls}.{role}.key": str(folder / "tls.key") for role in ("client", "worker")}
    return {f"{tls}.ca-file": str(folder / "tls.pem"), **pairs, **keys}


@pytest.mark.parametrize("role", ["client", "worker"])
@pytest.mark.parametrize(
    ("begins", "ends", "told"),
    [(-1, 1, ""), (-9, -1, "certificate has expired"), (1, 9, "certificate is not yet valid")],
)
def test_a_certificate_that_is_out_of_date(tmp_path: Path, begins: float, ends: float, told: str, role: str) -> None:
    with dask.config.set(certificate(tmp_path, begins, ends)):
        if not told:
            refuse_without_tls("tls://10.0.0.5:8786", role)
            return
        with pytest.raises(PlanError, match=told) as refused:
            refuse_without_tls("tls://10.0.0.5:8786", role)
    assert refused.value.code == "NO_TLS"


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:8786", "127.0.0.1:8786", "localhost:8786"])
def test_settings_that_want_tls_and_an_address_without(address: str) -> None:
    with dask.config.set({ENCRYPTED: True}), pytest.raises(PlanError, match=r"Dask's settings want TLS") as refused:
        refuse_without_tls(address)
    assert refused.value.code == "NO_TLS"
    refuse_without_tls(address)
    with dask.config.set({ENCRYPTED: True}):
        refuse_without_tls("")  # workers of this process's own
