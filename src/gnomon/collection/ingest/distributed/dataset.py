"""The run as a Ray Data pipeline: read tasks feed a pool of actors, and the places of finished shards come back."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from gnomon.collection.ingest.distributed.tasks import Claims, Group, RunSetup, ShardMaker, ShardPlace, read_group
from gnomon.core.contracts import Array
from gnomon.core.errors import GnomonError

_READ_CPUS, _EMBED_CPUS = 0.2, 0.8
"""Shares of a core: one that embeds has room beside it for one that reads."""
_READS_AHEAD = 2
"""Read tasks for each actor that run at once."""
_ROW_BYTES = 1 << 21


def start_claims(known: Array) -> Any:
    """The actor that says which texts are whose, on this machine where it is part of the cluster."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    options = {"num_cpus": 0, "scheduling_strategy": here, "max_restarts": -1, "max_task_retries": -1}
    claims = ray.remote(Claims).options(**options).remote()
    ray.get(claims.add.remote(known))
    return claims


def finished_shards(groups: Sequence[Group], setup: RunSetup, *, claims: Any, workers: int) -> Iterator[ShardPlace]:
    """The place of each shard as it is finished, in any order.

    Blocks hold one shard, and reading waits while there is no room for more of them in the object store. The shards
    of an actor or a node that died are made again, as often as Ray does (without end) and `Claims` allows.
    Raises GnomonError where Ray gives the run up.
    """
    import ray.data

    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.target_max_block_size = 1  # a row is a shard's worth: none waits for the next
    context.execution_options.preserve_order = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    with ray.data.DataContext.current(context):
        shared = [ray.put(setup)]
        source = _source(groups, shared)
        read = ray.data.read_datasource(
            source,
            override_num_blocks=len(groups),
            num_cpus=_READ_CPUS,
            concurrency=min(_READS_AHEAD * workers, len(groups)),
        )
        pool = ray.data.ActorPoolStrategy(min_size=1, max_size=workers, initial_size=workers)
        made = read.map_batches(
            ShardMaker,
            fn_constructor_args=(shared, claims),
            batch_size=None,
            batch_format="pyarrow",
            compute=pool,
            num_cpus=_EMBED_CPUS,
        )
        rows = made.iter_rows()
    try:
        for row in rows:
            yield pickle.loads(row["place"])
    except ray.exceptions.RayError as error:
        raise GnomonError(
            f"the cluster gave the run up: {type(error).__name__}: {' '.join(str(error).split())[:500]}",
            expected="workers that come to an end",
            hint="run the same command again: it goes on from the shards that are there; ray's logs say more",
        ) from error


def _source(groups: Sequence[Group], shared: Sequence[Any]) -> Any:
    from ray.data.block import BlockMetadata
    from ray.data.datasource import Datasource, ReadTask

    class Files(Datasource):  # type: ignore[misc]
        """A read task for each group of files."""

        def estimate_inmemory_data_size(self) -> int | None:
            return None

        def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[Any]:
            about = BlockMetadata(num_rows=1, size_bytes=_ROW_BYTES, input_files=None, exec_stats=None)
            return [ReadTask(partial(read_group, group, shared), about) for group in groups]

    return Files()
