"""Features of galaxy stamps, from any files to one Parquet file."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Literal

from ..data.readers import iter_stamps, summarise_sources
from ..data.skipped import write_skipped
from ..data.stamp import Stamp, UnreadableStampError
from ..files import whole_file

OWN_COLUMNS = ("id", "source", "features")


@dataclass(frozen=True)
class Encoder:
    """A model that turns stamps into features, with its image processor.

    Attributes:
        model: A `GalvmModel`, in evaluation mode, on `device`.
        image_processor: The checkpoint's `GalvmImageProcessor`.
        device: Where the model is.
        adaptive_crop: Whether each stamp is first cropped to its galaxy.
        features: "pooler_output", or "stage_statistics": mean and deviation of the tokens of every stage.
    """

    model: Any
    image_processor: Any
    device: Any
    adaptive_crop: bool = True
    features: Literal["pooler_output", "stage_statistics"] = "pooler_output"

    def prepare(self, stamps: Sequence[Stamp]) -> Any:
        """Display images [B, 3, H, W] in [0, 1] of stamps, flux and pictures mixed, in their order.

        Raises:
            UnreadableStampError: If flux misses g, r or z, or is not in nanomaggies.
            ValueError: If the image processor refuses a stamp.
        """
        import torch

        pixel_values = []
        selected = [stamp.select() for stamp in stamps]
        for bands, alike in groupby(selected, key=lambda stamp: stamp.bands):
            inputs = self.image_processor(
                [stamp.pixels for stamp in alike],
                bands=bands,
                do_adaptive_crop=self.adaptive_crop,
                return_tensors="pt",
            )
            pixel_values.append(inputs["pixel_values"])
        return torch.cat(pixel_values)

    def encode(self, pixel_values: Any) -> Any:
        """Features [B, D] in float32, on the CPU, of display images [B, 3, H, W]."""
        import torch

        from ..head_galvm import stage_statistics

        with torch.no_grad():
            outputs = self.model(pixel_values.to(self.device, self.model.dtype))
            features = outputs.pooler_output if self.features == "pooler_output" else stage_statistics(outputs)
        return features.float().cpu()

    def encode_stamps(self, stamps: Sequence[Stamp]) -> Any:
        """Features [B, D] in float32, on the CPU, of stamps; raises what `prepare` does."""
        return self.encode(self.prepare(stamps))


@dataclass
class EmbedSummary:
    """What `embed_files` did.

    Attributes:
        number: How many stamps have features now.
        skipped: Why the others have none.
    """

    number: int = 0
    skipped: list[UnreadableStampError] = field(default_factory=list)


def resolve_checkpoint(name: str) -> str:
    """What `from_pretrained` has to be given: a packaged checkpoint by its name, else the directory or Hub name.

    Raises:
        FileNotFoundError: If a packaged checkpoint is asked for and missing, or something that looks like a directory
            does not exist.
    """
    from ..checkpoints import RELEASED, released_checkpoint

    if name in RELEASED:
        return str(released_checkpoint(name))
    if Path(name).is_dir():
        return name
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise FileNotFoundError(f"There is no checkpoint directory {name}. Check the spelling of --model.")
    return name


def pick_device(name: str) -> Any:
    """A torch device by name; "auto" is the first accelerator, else the CPU."""
    import torch

    if name != "auto":
        return torch.device(name)
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator or torch.device("cpu")


def load_encoder(
    name: str,
    device: str = "auto",
    adaptive_crop: bool = True,
    features: Literal["pooler_output", "stage_statistics"] = "pooler_output",
) -> Encoder:
    """Load the encoder of a checkpoint.

    Args:
        name: "galvm" for the packaged checkpoint, a directory, or a name on the Hub.
        device: As torch names it, or "auto".
        adaptive_crop: Whether each stamp is first cropped to its galaxy.
        features: As of `Encoder`.
    """
    from transformers import AutoImageProcessor, AutoModel

    path, torch_device = resolve_checkpoint(name), pick_device(device)
    model = AutoModel.from_pretrained(path).eval().to(torch_device)
    return Encoder(model, AutoImageProcessor.from_pretrained(path), torch_device, adaptive_crop, features)


def untrained_encoder(encoder: Encoder, seed: int) -> Encoder:
    """The same architecture with random weights: what the architecture gives without any training."""
    import torch
    from transformers import AutoModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModel.from_config(encoder.model.config).eval().to(encoder.device)
    return replace(encoder, model=model)


def iter_prepared(
    encoder: Encoder, stamps: Iterable[Stamp], batch_size: int, on_error: Callable[[UnreadableStampError], None]
) -> Iterator[tuple[list[Stamp], Any]]:
    """Batches of stamps and their display images [B, 3, H, W]; what the image processor refuses is reported."""
    stamps = iter(stamps)
    while batch := list(islice(stamps, batch_size)):
        try:
            yield batch, encoder.prepare(batch)
            continue
        except ValueError:
            batch = [stamp for stamp in batch if _is_usable(encoder, stamp, on_error)]  # find out which one it was
        if batch:
            yield batch, encoder.prepare(batch)


def embed_files(
    sources: Sequence[str | Path], out: Path, encoder: Encoder, model_name: str, batch_size: int = 32
) -> EmbedSummary:
    """Write the features of every stamp in the sources to a Parquet file, batch by batch.

    The columns are `id`, `source`, `features` (a fixed-size list of float32) and the scalar columns of Parquet inputs;
    one of those that has the name of an own column is prefixed with `input_`. Beside it, `<out>.skipped.csv` lists what
    was skipped and why. The file is there whole or not at all.

    Args:
        sources: Pictures, arrays, FITS and Parquet files, and folders of them.
        out: The file to write.
        encoder: From `load_encoder`.
        model_name: Recorded in the file's metadata.
        batch_size: Stamps per forward pass.

    Returns:
        How many were embedded, and what was skipped. Without a single one nothing is written.
    """
    import pyarrow.parquet as pq
    from tqdm import tqdm

    number, carried = summarise_sources(sources)
    summary = EmbedSummary()
    with ExitStack() as stack:
        progress = stack.enter_context(tqdm(total=number, unit="stamp", disable=None))

        def skip(error: UnreadableStampError) -> None:
            summary.skipped.append(error)
            progress.update()

        writer = None
        for batch, pixel_values in iter_prepared(encoder, iter_stamps(sources, skip), batch_size, skip):
            features = encoder.encode(pixel_values).numpy()
            if writer is None:
                schema = table_schema(features.shape[1], carried, describe_encoder(encoder, model_name))
                # Closed by the stack before the file gets its name.
                temporary = stack.enter_context(whole_file(out))
                writer = stack.enter_context(pq.ParquetWriter(temporary, schema))
            writer.write_batch(table_batch(batch, features, schema, carried))
            summary.number += len(batch)
            progress.update(len(batch))
    if summary.number:
        write_skipped(out.with_suffix(".skipped.csv"), summary.skipped)
    return summary


def _is_usable(encoder: Encoder, stamp: Stamp, on_error: Callable[[UnreadableStampError], None]) -> bool:
    try:
        encoder.prepare([stamp])
    except UnreadableStampError as error:
        on_error(error)
        return False
    except ValueError as error:
        on_error(
            UnreadableStampError(f"{stamp.source} ({stamp.id})", str(error).rstrip("."), "Leave it out or mend it")
        )
        return False
    return True


def _output_name(column: str) -> str:
    return f"input_{column}" if column in OWN_COLUMNS else column


def describe_encoder(encoder: Encoder, model_name: str) -> dict[str, str]:
    """What is said in a file of features about where they come from."""
    from .. import __version__
    from ..hitl.encoder import digest_encoder

    return {
        "model": model_name,
        "weights": digest_encoder(encoder.model),
        "features": encoder.features,
        "adaptive_crop": str(encoder.adaptive_crop).lower(),
        "galvm_hf": __version__,
    }


def table_schema(width: int, carried: dict[str, Any], described: dict[str, str]) -> Any:
    """The Arrow schema of a table of features."""
    import pyarrow as pa

    own = [("id", pa.string()), ("source", pa.string()), ("features", pa.list_(pa.float32(), width))]
    others = [(_output_name(name), kind) for name, kind in carried.items()]
    return pa.schema(own + others, metadata=described)


def table_batch(batch: list[Stamp], features: Any, schema: Any, carried: dict[str, Any]) -> Any:
    """Rows of such a table, from stamps and their features [B, D]."""
    import pyarrow as pa

    arrays = [
        pa.array([stamp.id for stamp in batch]),
        pa.array([stamp.source for stamp in batch]),
        pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), features.shape[1]),
    ]
    for name in carried:
        kind = schema.field(_output_name(name)).type
        values = [stamp.columns.get(name) for stamp in batch]
        if kind == "string":  # also where two files disagree about the type
            values = [None if value is None else str(value) for value in values]
        arrays.append(pa.array(values, kind))
    return pa.record_batch(arrays, schema=schema)
