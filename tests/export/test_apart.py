"""Formats of the environment `export`, each opened there by its own reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exporting import discs, store_of, tiles_of
from loading import run

from tilewright.contract.exports import FORMATS
from tilewright.environments import interpreters
from tilewright.errors import TilewrightError
from tilewright.export.apart import write_apart
from tilewright.export.export import export
from tilewright.stores.ome_zarr import Placement

PLACE = Placement(origin=(40.0, 60.0), factor=(0.5, 0.5), mpp=(0.25, 0.25))
SAID = {"mpp": [0.25, 0.25], "region": [40, 60, 120, 160]}


def read(python: Path, code: str, *arguments: object) -> Any:
    return json.loads(run(python, code, *arguments).splitlines()[-1])


def labelled() -> np.ndarray[Any, Any]:
    """Discs, of which the first has a hole and a second piece."""
    labels = discs((60, 80))
    labels[10:13, 10:13], labels[0, 79] = 0, 1
    return labels


GEOPANDAS = """
import json, sys
import geopandas
frame = geopandas.read_parquet(sys.argv[1])
print(json.dumps({
    "area": frame.area.tolist(), "said": frame["area_px"].tolist(), "id": frame["id"].tolist(),
    "valid": bool(frame.is_valid.all()), "bounds": frame.total_bounds.tolist(),
    "types": sorted(set(frame.geom_type)), "crs": str(frame.crs), "columns": list(frame),
}))
"""


@pytest.mark.slow
def test_geopandas_opens_outlines_and_table(tmp_path: Path, export_python: Path) -> None:
    labels = labelled()
    store = store_of(tmp_path / "a.zarr", labels, place=PLACE, **SAID)
    export(store, FORMATS["geoparquet"], tmp_path / "a.geo.parquet")
    found = read(export_python, GEOPANDAS, tmp_path / "a.geo.parquet")
    assert found["id"] == list(range(1, int(labels.max()) + 1))
    assert found["area"] == found["said"] == (4 * np.bincount(labels.ravel())[1:]).tolist()
    assert found["valid"]
    assert found["crs"] == "None"
    assert found["types"] == ["MultiPolygon", "Polygon"]
    assert found["bounds"][:2] == [64.0, 40.0]
    assert found["columns"][-2:] == ["mean_DAPI", "geometry"]


PANDAS = """
import json, sys
import pandas
frame = pandas.read_parquet(sys.argv[1])
print(json.dumps({name: frame[name].tolist() for name in frame}))
"""


@pytest.mark.slow
def test_pandas_opens_tables_of_objects_and_of_tiles(tmp_path: Path, export_python: Path) -> None:
    store = store_of(tmp_path / "a.zarr", labelled())
    export(store, FORMATS["parquet"], tmp_path / "a.parquet")
    found = read(export_python, PANDAS, tmp_path / "a.parquet")
    assert found["area_px"] == np.bincount(labelled().ravel())[1:].tolist()
    vectors = np.arange(12, dtype=np.float32).reshape(3, 4)
    export(tiles_of(tmp_path / "t.zarr", vectors), FORMATS["parquet"], tmp_path / "t.parquet")
    found = read(export_python, PANDAS, tmp_path / "t.parquet")
    assert [found[f"cls_{n}"] for n in range(4)] == vectors.T.tolist()
    assert found["x_px"] == [0, 448, 896]


SPATIALDATA = """
import json, sys
import numpy, spatialdata
data = spatialdata.read_zarr(sys.argv[1])
shapes, labels = data.shapes["nuclei_outlines"], data.labels["nuclei"]
table = data.tables["nuclei_table"]
first = labels if not hasattr(labels, "children") else labels["scale0"]["image"]
extents = [
    spatialdata.get_extent(e, coordinate_system="global") for e in (shapes, labels)
]
print(json.dumps({
    "elements": sorted(name for _, name, _ in data.gen_elements()),
    "area": shapes.area.tolist(), "id": shapes.index.tolist(), "rows": table.obs["id"].tolist(),
    "present": numpy.unique(first.compute()).tolist(), "extents": [list(e["x"]) for e in extents],
}))
"""


@pytest.mark.slow
def test_spatialdata_opens_labels_outlines_and_table(tmp_path: Path, export_python: Path) -> None:
    labels = discs((96, 96))
    store = store_of(tmp_path / "a.zarr", labels, place=PLACE, **SAID)
    path = tmp_path / "a.spatialdata.zarr"
    for _ in range(2):  # a second one takes the first one's place
        export(store, FORMATS["spatialdata"], path)
    found = read(export_python, SPATIALDATA, path)
    assert found["elements"] == ["nuclei", "nuclei_outlines", "nuclei_table"]
    assert found["id"] == found["rows"] == found["present"][1:]
    assert found["area"] == np.bincount(labels.ravel())[1:].tolist()
    (low, high), (start, stop) = found["extents"]
    assert start < low < high < stop  # in µm, where the labels are
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


H5PY = """
import json, sys
import h5py
with h5py.File(sys.argv[1]) as file:
    coords = file["coords"]
    said = {k: v.item() if hasattr(v, "item") else v for k, v in coords.attrs.items()}
    print(json.dumps({
        "features": file["features"][:].tolist(), "coords": coords[:].tolist(),
        "kinds": [str(coords.dtype), str(file["features"].dtype)], "said": said,
    }))
"""


@pytest.mark.slow
def test_h5py_opens_features_and_coords_as_slide_tools_name_them(
    tmp_path: Path, export_python: Path
) -> None:
    vectors = np.arange(12, dtype=np.float32).reshape(3, 4)
    export(tiles_of(tmp_path / "t.zarr", vectors), FORMATS["hdf5"], tmp_path / "t.h5")
    found = read(export_python, H5PY, tmp_path / "t.h5")
    assert found["features"] == vectors.tolist()
    assert found["coords"] == [[0, 0], [448, 0], [896, 0]]  # x, y
    assert found["kinds"] == ["int64", "float32"]
    assert found["said"] == {
        "patch_size": 224,
        "patch_size_level0": 448,
        "overlap": 0,
        "name": "slide",
        "level0_height": 448,
        "level0_width": 1344,
        "level0_mpp": 0.25,
        "level0_magnification": 40.0,
        "target_magnification": 20.0,
    }


@pytest.mark.slow
def test_what_an_exporter_refuses_there_is_told_here(tmp_path: Path, export_python: Path) -> None:
    assert export_python.exists()
    labels = np.stack([discs((30, 30)), np.where(discs((30, 30)), discs((30, 30)) + 4, 0)])
    store = store_of(tmp_path / "a.zarr", labels.astype(np.uint8), "tyx")
    with pytest.raises(TilewrightError, match=r"2 time points.*no time axis") as caught:
        export(store, FORMATS["spatialdata"], tmp_path / "a.spatialdata.zarr")
    assert caught.value.code == 65
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zarr"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["geoparquet", "parquet", "spatialdata"])
def test_without_room_there_is_one_sentence_from_there(
    tmp_path: Path, name: str, full_disk: Path, export_python: Path
) -> None:
    assert export_python.exists()
    labels = np.random.default_rng(1).integers(0, 60_000, (500, 500)).astype(np.uint16)
    store = store_of(tmp_path / "a.zarr", labels)
    with pytest.raises(TilewrightError, match=r"[Nn]o space left|disk is full") as caught:
        export(store, FORMATS[name], full_disk / "a" / "x")
    assert caught.value.code == 69
    assert [p for p in full_disk.rglob("*") if p.is_file()] == []


def test_without_the_environment_the_sentence_says_how_to_build_it(tmp_path: Path) -> None:
    store = store_of(tmp_path / "a.zarr", discs((30, 30)))
    with pytest.raises(TilewrightError, match=r"environments build export") as caught:
        write_apart("parquet", store, tmp_path / "a.parquet", tmp_path / "envs")
    assert caught.value.code == 69


def test_the_environments_file_has_what_its_exporters_import() -> None:
    text = interpreters.definition("export").read_text()
    for package in ("spatialdata", "geopandas", "pyarrow", "h5py", "shapely", "scipy", "zarr"):
        assert f"- {package}==" in text


@pytest.mark.parametrize(
    ("name", "part", "says"),
    [
        ("spatialdata", "labels/nuclei/0", "labels/nuclei: its pixels at Y "),
        ("spatialdata", "tables/nuclei/obs/area_px", "tables/nuclei: it can't be read"),
        ("geoparquet", "labels/nuclei/0", "labels/nuclei: its pixels at Y "),
        ("parquet", "tables/nuclei/obs/area_px", "tables/nuclei: its column area_px can't be"),
    ],
)
def test_damage_is_a_sentence_from_there_too(
    tmp_path: Path, export_python: Path, name: str, part: str, says: str
) -> None:
    store = store_of(tmp_path / "s.zarr", labelled(), "yx", PLACE, **SAID)
    for file in [p for p in (store / part).rglob("*") if p.is_file() and p.name != "zarr.json"]:
        file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(TilewrightError, match=says) as caught:
        export(store, FORMATS[name], tmp_path / f"a{FORMATS[name].ending}")
    assert caught.value.code == 65
    assert [p.name for p in tmp_path.iterdir()] == ["s.zarr"]
