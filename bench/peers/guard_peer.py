"""One store opened with one model, driven by lines of JSON: what bench/migration/guard.py tries to mix models in.

    python guard_peer.py chroma|llamaindex FOLDER MODEL_FOLDER

Each process is one opening, as a user's script is. Requests: {"add": [ids, texts]}, {"query": [text, k]}.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


class Chroma:
    """A persistent client and its sentence-transformers function; upsert, as its guide has it."""

    packages = ("chromadb", "sentence-transformers")

    def __init__(self, folder: str, model: str) -> None:
        import chromadb
        from chromadb.config import Settings
        from chromadb.utils.embedding_functions import SentenceTransformerEmbeddingFunction

        client = chromadb.PersistentClient(folder, settings=Settings(anonymized_telemetry=False))
        function: Any = SentenceTransformerEmbeddingFunction(model_name=model)
        self.collection = client.get_or_create_collection("documents", embedding_function=function)

    def add(self, ids: list[str], texts: list[str]) -> None:
        """Put texts in."""
        self.collection.upsert(ids=ids, documents=texts)

    def query(self, text: str, k: int) -> list[str]:
        """The ids of the nearest."""
        return list(self.collection.query(query_texts=[text], n_results=k)["ids"][0])


class Llama:
    """An index kept in a folder, filled by an ingestion pipeline whose cache is kept beside it."""

    packages = ("llama-index-core", "llama-index-embeddings-huggingface")

    def __init__(self, folder: str, model: str) -> None:
        from llama_index.core import StorageContext, VectorStoreIndex, load_index_from_storage
        from llama_index.core.ingestion import IngestionCache, IngestionPipeline
        from llama_index.embeddings.huggingface import HuggingFaceEmbedding

        self.folder, self.kept = Path(folder), Path(folder) / "cache.json"
        embed: Any = HuggingFaceEmbedding(model_name=model, device="cpu")
        if (self.folder / "docstore.json").is_file():
            storage = StorageContext.from_defaults(persist_dir=folder)
            self.index: Any = load_index_from_storage(storage, embed_model=embed)
        else:
            self.index = VectorStoreIndex([], embed_model=embed)
        cache = IngestionCache.from_persist_path(str(self.kept)) if self.kept.is_file() else IngestionCache()
        self.pipeline = IngestionPipeline(transformations=[embed], cache=cache)

    def add(self, ids: list[str], texts: list[str]) -> None:
        """Put texts in; those of an id that is there go first."""
        from llama_index.core import Document

        for name in ids:
            self.index.delete_ref_doc(name, delete_from_docstore=True)
        given = [Document(text=text, id_=name) for name, text in zip(ids, texts, strict=True)]
        self.index.insert_nodes(self.pipeline.run(documents=given))
        self.index.storage_context.persist(str(self.folder))
        self.pipeline.cache.persist(str(self.kept))

    def query(self, text: str, k: int) -> list[str]:
        """The ids of the nearest."""
        found = self.index.as_retriever(similarity_top_k=k).retrieve(text)
        return [one.node.ref_doc_id or one.node.node_id for one in found]


def main() -> None:
    """Open, say so, and answer requests until the input ends."""
    from importlib.metadata import version

    kind: Any = {"chroma": Chroma, "llamaindex": Llama}[sys.argv[1]]
    out = sys.stdout
    sys.stdout = sys.stderr  # what the library prints is no answer
    try:
        store = kind(*sys.argv[2:4])
        answer: dict[str, Any] = {"versions": {name: version(name) for name in kind.packages}}
    except Exception as error:  # noqa: BLE001 - what it says is the finding
        store, answer = None, {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), file=out, flush=True)
    for line in sys.stdin if store is not None else ():
        ((call, arguments),) = json.loads(line).items()
        try:
            answer = {"found": getattr(store, call)(*arguments)}
        except Exception as error:  # noqa: BLE001 - what it says is the finding
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main()
