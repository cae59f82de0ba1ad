"""The pooling window that brings a feature to the size at which features are compared."""


def pooling_kernel(size: int, target: int) -> int:
    """The window k (also the stride) with ceil(size / k) == target along one axis; 0 where there is none.

    Several windows can give the same size. Networks halve, so a power of two is taken where one fits, which
    makes one max pooling equal to the repeated 2x2 pooling of the deeper layers; otherwise the smallest
    window is taken.
    """
    smallest = -(-size // target)
    power_of_two = 1
    while power_of_two < smallest:
        power_of_two *= 2
    for kernel in (power_of_two, smallest):
        if -(-size // kernel) == target:
            return kernel
    return 0
