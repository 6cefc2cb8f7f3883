"""What a session found, as a table and as a model."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ..data.cutouts.catalogues import DEC_NAMES, RA_NAMES
from ..files import whole_file
from .encoder import digest_encoder
from .learner import HIDDEN, MEMBERS
from .session import Session

FORMATS = {
    (".parquet",): "parquet",
    (".csv",): "ascii.csv",
    (".fits", ".fit"): "fits",
    (".vot", ".votable", ".xml"): "votable",
}
UNSEEN, DISPUTED = "unseen", "disputed"


def export_table(session: Session, path: str | Path) -> int:
    """Write labels and scores of every galaxy of the collection, and of the uploaded ones, to a table.

    The columns are `id`, the position where there is one, `label` ("yes", "no", "disputed" or "unseen"), the number of
    people who said `yes` and `no`, and `probability` and `spread` as of `Scores`. Every galaxy is scored exactly.

    Args:
        session: With at least one yes and one no.
        path: A Parquet, CSV or FITS table, or a VOTable; its ending says which.

    Returns:
        The number of rows.

    Raises:
        ValueError: If the ending is not known, or there is nothing to learn from.
    """
    path = Path(path)
    kind = next((kind for endings, kind in FORMATS.items() if path.name.lower().endswith(endings)), None)
    if kind is None:
        known = ", ".join(ending for endings in FORMATS for ending in endings)
        raise ValueError(f"{path}: a table of unknown kind. Give a name that ends in {known}.")
    columns = _columns(session)
    facts = {"TARGET": session.target, "LEARNER": session.model, "ENCODER": session.collection.model}
    with whole_file(path) as temporary:
        if kind == "parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            pq.write_table(pa.table(columns).replace_schema_metadata(facts), temporary)
        else:
            from astropy.table import Table

            # what the header of a FITS file can hold
            facts = {key: value.encode("ascii", "replace").decode() for key, value in facts.items()}
            Table(columns, meta=facts).write(temporary, format=kind)
    return len(columns["id"])


def export_model(session: Session, checkpoint: str | Path, out: str | Path) -> None:
    """Write the learner as a checkpoint that `AutoModelForImageClassification` loads: images in, the target out.

    It gives the learner's probabilities: standardising is part of its head, and the mean over the members is one
    network with their hidden units.

    Args:
        session: With at least one yes and one no.
        checkpoint: Folder, or name on the Hub, of the checkpoint that the collection's features are of.
        out: Folder to write.

    Raises:
        FileExistsError: If there is something at `out`.
        ValueError: If features are of another checkpoint, or not what the head sees of an image.
    """
    from transformers import AutoConfig, AutoImageProcessor, AutoModel

    from ..modeling_galvm import GalvmForImageClassification
    from ..train.release import save_checkpoint_folder

    collection, out = session.collection, Path(out)
    if out.exists():
        raise FileExistsError(f"{out} is there already. Remove it, or give another name.")
    if collection.kind != "stage_statistics" or collection.inputs:
        beside = f" and {', '.join(collection.inputs)}" if collection.inputs else ""
        raise ValueError(
            f"A classifier of images sees the stage_statistics alone, and this session learnt from {collection.kind}"
            f"{beside}. Make the collection from stamps by `galvm prepare collection`, without --input."
        )
    encoder = AutoModel.from_pretrained(checkpoint)
    if digest_encoder(encoder) != collection.weights:
        raise ValueError(f"The features of {collection.folder} are not of {checkpoint}: its weights are others.")
    config = AutoConfig.from_pretrained(checkpoint)
    config.id2label, config.label2id = {0: "other", 1: session.target}, {"other": 0, session.target: 1}
    config.classifier_hidden_size, config.classifier_dropout_prob = HIDDEN, 0.0
    config.problem_type = "single_label_classification"
    model, learner = GalvmForImageClassification(config), session.learner
    model.galvm.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        head = model.classifier
        head.mean.copy_(collection.mean)
        head.deviation.copy_(collection.deviation)
        head.fc1.weight.copy_(learner.weight)
        head.fc1.bias.copy_(learner.bias)
        # the softmax of nothing and the logit is its sigmoid
        head.fc2.weight[0], head.fc2.bias[0] = 0, 0
        head.fc2.weight[1], head.fc2.bias[1] = learner.output.flatten() / MEMBERS, learner.offset.mean()
    processor = AutoImageProcessor.from_pretrained(checkpoint)
    save_checkpoint_folder(out, config, model.state_dict(), processor, torch.float32)


def _columns(session: Session) -> dict[str, Any]:
    collection, learner = session.collection, session.learner.as_fast()
    ids = collection.ids.to_numpy(zero_copy_only=False).astype(str)
    places = {name: row for row, name in enumerate(ids.tolist())}
    uploads = [name for name in session.answers if name not in places]
    places |= {name: len(ids) + index for index, name in enumerate(uploads)}
    total = len(places)
    probability, spread = np.full(total, np.nan, np.float32), np.full(total, np.nan, np.float32)

    def fill(start: int, features: torch.Tensor) -> None:
        scores = learner.score(features)
        probability[start : start + len(features)] = scores.probability.numpy()
        spread[start : start + len(features)] = scores.spread.numpy()

    with torch.inference_mode(), tqdm(total=len(ids), unit="galaxy", desc="scoring", disable=None) as progress:
        for start, chunk in collection.chunks():
            fill(start, chunk)
            progress.update(len(chunk))
        if uploads:
            fill(len(ids), collection.standardise(torch.stack([session.uploads[name] for name in uploads])))
    votes = np.zeros((2, total), np.int32)
    label = np.full(total, UNSEEN, dtype=f"<U{len(DISPUTED)}")
    for name, by_person in session.answers.items():
        for answer in by_person.values():
            votes[int(answer.answer), places[name]] += 1
        label[places[name]] = DISPUTED
    for name, is_member in session.labels.items():
        label[places[name]] = "yes" if is_member else "no"
    columns: dict[str, Any] = {"id": np.concatenate([ids, np.array(uploads, dtype=str)])}
    for names in (RA_NAMES, DEC_NAMES):
        if (column := collection.position_column(names)) is not None:
            known = collection.column(column).to_numpy().astype(np.float64)
            columns[column] = np.pad(known, (0, len(uploads)), constant_values=np.nan)
    return columns | {
        "label": label,
        "yes": votes[1],
        "no": votes[0],
        "probability": probability,
        "spread": spread,
    }
