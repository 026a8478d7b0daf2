"""Readers of other vector stores: each yields ids, vectors and texts in batches, and changes nothing.

A package adds a store by an entry point of the group `gnomon.stores`, named as an address's scheme or as a file's
or folder's suffix:

    [project.entry-points."gnomon.stores"]
    milvus = "my_package.milvus:sources"

The callable gets the place (an address such as "milvus://HOST/NAME", or a path) and the user's `ColumnNames`, and
returns a sequence of `StoreSource`, which yield `VectorBatch`es.
"""
