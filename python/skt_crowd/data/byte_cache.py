"""A cache that holds the most recently used values up to a number of bytes."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class ByteCache(Generic[Value]):
    """Keep what was used last, at most `capacity` bytes of it; a value larger than that is never kept.

    Example:
        >>> cache = ByteCache[bytes](10, len)
        >>> cache.get("a", lambda: b"12345678"), cache.get("a", lambda: b"not asked for")
        (b'12345678', b'12345678')
    """

    def __init__(self, capacity: int, size_of: Callable[[Value], int]) -> None:
        self._capacity = capacity
        self._size_of = size_of
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self.bytes_held = 0

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value kept under `key`, or `make()`, which is then kept."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        value = make()
        size = self._size_of(value)
        if size <= self._capacity:
            self._values[key] = value
            self.bytes_held += size
            while self.bytes_held > self._capacity:
                _, dropped = self._values.popitem(last=False)
                self.bytes_held -= self._size_of(dropped)
        return value
