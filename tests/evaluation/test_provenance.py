"""Where numbers come from."""

import hashlib
import json
from datetime import datetime

import torch

from galvm_hf.evaluation.provenance import provenance


def test_files_are_told_by_their_content_and_not_by_their_place(tmp_path):
    (tmp_path / "test.parquet").write_bytes(b"rows")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"weights")
    record = provenance([tmp_path / "test.parquet"], tmp_path / "model", seed=3, model="galvm")
    assert record["data"] == [{"name": "test.parquet", "bytes": 4, "sha256": hashlib.sha256(b"rows").hexdigest()}]
    assert record["weights"][0]["sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert record["settings"] == {"seed": 3, "model": "galvm"}
    assert record["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert record["hardware"]["cores"] >= 1
    assert record["hardware"]["processor"]
    assert datetime.fromisoformat(record["date"]).tzinfo is not None
    assert str(tmp_path) not in json.dumps(record)
