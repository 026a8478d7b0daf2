"""How many threads the products of vectors take in a server."""

from __future__ import annotations


def one_blas_thread() -> None:
    """From now on this process multiplies matrices in one thread.

    Requests are what runs side by side here. For the few queries of a joined search OpenBLAS's threads mostly wait, and
    do so by spinning, on cores that the model's inference needs: on two cores a hybrid search of four queries took 69
    ms of processor time with them, and 37 without.
    """
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="blas")
