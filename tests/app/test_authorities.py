"""Certificate authorities are read when a connection needs them."""

import subprocess
import sys

PROGRAM = """
import ssl
from proa.app._authorities import LateContext, read_authorities_late

read_authorities_late()
read = ssl.SSLContext.load_default_certs
import aiohttp
from aiohttp import connector

assert ssl.SSLContext.load_default_certs is read
assert "set_default_verify_paths" not in vars(ssl.SSLContext)
context = connector._SSL_CONTEXT_VERIFIED
assert isinstance(context, LateContext)
assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
assert context.cert_store_stats()["x509"] == 0
context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
assert context.cert_store_stats() == ssl.create_default_context().cert_store_stats()
"""


def test_aiohttp_reads_authorities_late_and_nothing_else_changes() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
