"""Bits of coded data, the highest first; called by `av1` and `hevc`."""


class Bits:
    """Reads numbers of any count of bits."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        """Read an unsigned number.

        Raises:
            ValueError: there are not as many bits.
        """
        self._left -= count
        if self._left < 0:
            raise ValueError("the header ends early")
        return self._value >> self._left & (1 << count) - 1

    def take_variable(self) -> int:
        """Read an unsigned number of variable length (ue(v) of H.265, uvlc() of AV1).

        Raises:
            ValueError: it has over 32 bits.
        """
        zeros = 0
        while not self.take(1):
            zeros += 1
        if zeros > 32:
            raise ValueError("a number has over 32 bits")
        return (1 << zeros) - 1 + self.take(zeros)
