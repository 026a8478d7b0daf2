from .address import StoreAddress, open_store, store_names

__all__ = ["StoreAddress", "open_store", "store_names"]
