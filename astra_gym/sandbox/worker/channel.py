"""Messages over a local socket: one packet each while small, else a length and then pieces.

To a worker go `marshal` bytes (it trusts its parent); from it comes JSON, never anything that could build objects.
"""

from __future__ import annotations

import socket
import struct
import sys

PACKET = 32_768
"""Bytes of one packet; larger receive buffers cost a memory mapping each time."""
WHOLE, PIECES = b"\0", b"\1"
MAX_REQUEST = 256 << 20
MAX_REPLY = 32 << 20
_LENGTH = struct.Struct("<Q")
HAS_PACKETS = sys.platform.startswith("linux")


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets of the kind that this platform has."""
    if HAS_PACKETS:
        return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return socket.socketpair()


class Channel:
    """One end of a connection. Raises EOFError when the other end is gone, TimeoutError after the socket's timeout."""

    __slots__ = ("_packets", "limit", "sock")

    def __init__(self, sock: socket.socket, limit: int) -> None:
        self.sock = sock
        self.limit = limit
        self._packets = sock.type == getattr(socket, "SOCK_SEQPACKET", None)

    def send(self, message: bytes) -> None:
        if not self._packets:
            self.sock.sendall(_LENGTH.pack(len(message)) + message)
        elif len(message) < PACKET:
            self.sock.send(WHOLE + message)
        else:
            self.sock.send(PIECES + _LENGTH.pack(len(message)))
            view = memoryview(message)
            for start in range(0, len(message), PACKET):
                self.sock.send(view[start : start + PACKET])

    def receive(self) -> bytes | memoryview:
        if not self._packets:
            length = _LENGTH.unpack(self._exactly(_LENGTH.size))[0]
            return self._exactly(self._check(length))
        packet = self.sock.recv(PACKET)
        if not packet:
            raise EOFError("the other end is gone")
        if packet[0] == 0:
            return memoryview(packet)[1:]
        if len(packet) != 1 + _LENGTH.size:
            raise EOFError("the other end sent a malformed message")
        return self._exactly(self._check(_LENGTH.unpack(packet[1:])[0]))

    def _check(self, length: int) -> int:
        if length > self.limit:
            raise EOFError(f"the other end announced {length:,} bytes; at most {self.limit:,} are taken")
        return length

    def _exactly(self, length: int) -> bytes:
        parts = bytearray()
        while len(parts) < length:
            part = self.sock.recv(min(PACKET, length - len(parts)) if not self._packets else PACKET)
            if not part:
                raise EOFError("the other end is gone")
            parts += part
        return bytes(parts)

    def close(self) -> None:
        self.sock.close()
