"""Certificate authorities and certificates, made for the tests."""

import datetime
from base64 import urlsafe_b64encode

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from .directory import Directory


class Authority:
    """A CA; `path` is its certificate."""

    def __init__(self, name="Test CA"):
        self.directory = Directory("ca-")
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = _name(name)
        made = _builder(self.name, self.name, self.key).add_extension(x509.BasicConstraints(True, 0), True)
        self.path = self.directory.path / "ca.pem"
        self.path.write_bytes(_pem(made.sign(self.key, hashes.SHA256())))
        self.issued = 0

    def issue(self, *uris, subject="client", expired=False, hosts=()):
        """A certificate for client and server, with these URIs and host names as subject alternative names."""
        key = ec.generate_private_key(ec.SECP256R1())
        uses = [x509.ExtendedKeyUsageOID.CLIENT_AUTH, x509.ExtendedKeyUsageOID.SERVER_AUTH]
        made = _builder(_name(subject), self.name, key, expired).add_extension(x509.ExtendedKeyUsage(uses), False)
        names = [x509.UniformResourceIdentifier(uri) for uri in uris] + [x509.DNSName(host) for host in hosts]
        if names:
            made = made.add_extension(x509.SubjectAlternativeName(names), not subject)
        self.issued += 1
        return Certificate(self.directory, f"client-{self.issued}.pem", made.sign(self.key, hashes.SHA256()), key)


class Certificate:
    """A certificate with its key, in one file, which is there as long as the certificate or its authority."""

    def __init__(self, directory, name, certificate, key):
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.directory, self.path = directory, directory.path / name
        self.path.write_bytes(_pem(certificate) + private)
        digest = certificate.fingerprint(hashes.SHA256())
        self.hash = digest.hex()
        # RFC 8705 section 3.1
        self.thumbprint = urlsafe_b64encode(digest).rstrip(b"=").decode()


def _name(common_name):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)] if common_name else [])


def _builder(subject, issuer, key, expired=False):
    start = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=2)
    end = start + datetime.timedelta(days=1 if expired else 30)
    return (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(end))


def _pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)
