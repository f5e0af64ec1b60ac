"""Commands for nftables: through libnftables in this process, or through the `nft` program.

The library takes a tenth of a millisecond for what a process takes two. Each `Nftables` talks to the network
namespace in which it was made.
"""

from __future__ import annotations

import ctypes
import os
import subprocess

from composer.errors import EngineError, UnsupportedError

_LIBRARIES = ("libnftables.so.1",)
_OUTPUT_HANDLES = 1 << 3


class NftError(EngineError):
    """nftables refused a transaction; nothing of it was done."""


class Nftables:
    """A context of libnftables(3); used from one thread.

    Raises:
        UnsupportedError: There is neither the library nor the program.
    """

    def __init__(self) -> None:
        self._library: ctypes.CDLL | None = None
        self._context: int | None = None
        self._pid = os.getpid()
        for name in _LIBRARIES:
            try:
                self._library = _declared(ctypes.CDLL(name))
            except (OSError, AttributeError):
                continue
            break

    def run(self, commands: str) -> str:
        """Execute *commands* as one transaction and return what they print.

        Raises:
            NftError: It was refused; the kernel's or parser's words are in the message.
            UnsupportedError: nftables is not there, or the caller is not allowed to use it.
        """
        code, output, error = self._in_process(commands) if self._library else _program(commands)
        if code:
            if "Operation not permitted" in error:
                raise UnsupportedError(
                    "nftables refuses changes: Operation not permitted", hint="run composer as root"
                )
            raise NftError(f"nftables refused a change: {' '.join(error.split()) or 'no reason given'}")
        return output

    def _in_process(self, commands: str) -> tuple[int, str, str]:
        library = self._library
        if library is None:
            raise UnsupportedError("libnftables is not loaded")
        if self._context is None or self._pid != os.getpid():
            self._context = library.nft_ctx_new(0)
            self._pid = os.getpid()
            library.nft_ctx_output_set_flags(self._context, _OUTPUT_HANDLES)
            library.nft_ctx_buffer_output(self._context)
            library.nft_ctx_buffer_error(self._context)
        code = library.nft_run_cmd_from_buffer(self._context, commands.encode())
        output = library.nft_ctx_get_output_buffer(self._context) or b""
        error = library.nft_ctx_get_error_buffer(self._context) or b""
        return code, output.decode(errors="replace"), error.decode(errors="replace")

    def close(self) -> None:
        """Free the context."""
        if self._library is not None and self._context is not None and self._pid == os.getpid():
            self._library.nft_ctx_free(self._context)
        self._context = None


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    context = ctypes.c_void_p
    library.nft_ctx_new.restype = context
    library.nft_ctx_new.argtypes = [ctypes.c_uint32]
    library.nft_ctx_free.argtypes = [context]
    library.nft_ctx_output_set_flags.argtypes = [context, ctypes.c_uint]
    for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error"):
        getattr(library, name).argtypes = [context]
    library.nft_run_cmd_from_buffer.argtypes = [context, ctypes.c_char_p]
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(library, name).restype = ctypes.c_char_p
        getattr(library, name).argtypes = [context]
    return library


def _program(commands: str) -> tuple[int, str, str]:
    try:
        done = subprocess.run(
            ["nft", "-a", "-f", "-"], input=commands, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise UnsupportedError(
            "nftables is not installed: there is neither libnftables.so.1 nor the nft program",
            hint="install the package nftables",
        ) from None
    return done.returncode, done.stdout, done.stderr
