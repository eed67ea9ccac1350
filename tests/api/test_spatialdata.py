"""SpatialData opens a store lazily, and its own functions agree with our table."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tilewright.errors import TilewrightError
from tilewright.export import elements as spatialdata
from tilewright.merge.measure.tables import Measure
from tilewright.stores.anndata import Vectors
from tilewright.stores.ome_zarr import Placement, StoreWriter

REPOSITORY = Path(__file__).parents[2]
PLACE = Placement(origin=(3, 5), mpp=(0.5, 0.25))

# Run where SpatialData is installed; prints what it found as JSON.
OPEN = """
import json, sys
import numpy as np
from spatialdata import get_centroids, join_spatialelement_table
from tilewright.export.elements import open_spatialdata

def levels(element):
    one = not hasattr(element, "children")
    return [element] if one else [level["image"] for level in element.children.values()]

data = open_spatialdata(sys.argv[1], time=int(sys.argv[2]))
labels = data.labels["nuclei"]
centroids = get_centroids(labels, coordinate_system="global").compute().loc[lambda c: c.index > 0]
_, table = join_spatialelement_table(
    sdata=data, spatial_element_names="nuclei", table_name="nuclei_table", how="left"
)
print(json.dumps({
    "images": {n: [list(a.shape) for a in levels(i)] for n, i in data.images.items()},
    "labels": [list(a.shape) for a in levels(labels)],
    "lazy": all(type(a.data).__module__.startswith("dask") for a in levels(labels)),
    "present": np.unique(levels(labels)[0].compute()).tolist(),
    "channels": [str(c) for i in data.images.values() for c in levels(i)[0].c.values],
    "centroids": centroids[["y", "x"]].to_numpy().tolist(),
    "table": table.obs["id"].tolist(),
}))
"""


def two_nuclei(times: int = 1) -> np.ndarray:
    """(t, 600, 700) uint8: at time k, label 2k+1 on rows 2-5, label 2k+2 on rows 500-520."""
    labels = np.zeros((times, 600, 700), np.uint8)
    for k in range(times):
        labels[k, 2:6, 10:20] = 2 * k + 1
        labels[k, 500:521, 30:33] = 2 * k + 2
    return labels


def put(writer: StoreWriter, where: str, array: np.ndarray, axes: str, method: str) -> None:
    pyramid = writer.pyramid(
        where, array.shape, array.dtype, axes=axes, method=method, placement=PLACE
    )
    for box in pyramid.blocks():
        pyramid.write(box, array[box])
    pyramid.build()


def store_of(path: Path, labels: np.ndarray, *, image: bool) -> Path:
    measure = Measure(int(labels.max()))
    with StoreWriter(path) as writer:
        axes = "tyx" if len(labels) > 1 else "yx"
        put(writer, "labels/nuclei", labels if len(labels) > 1 else labels[0], axes, "nearest")
        for t, plane in enumerate(labels):
            measure.include(measure.part(plane, None, (0, 0), (t, 0)))
        writer.table("nuclei", measure.table(PLACE))
        if image:
            put(writer, "", np.ones((2, 600, 700), np.uint8), "cyx", "mean")
        writer.finish({"recipe": {}}, channels=["DAPI", "GFP"])
    return path


def test_without_the_extra_the_error_gives_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store_of(tmp_path / "s.zarr", two_nuclei(), image=False)
    monkeypatch.setitem(sys.modules, "spatialdata", None)
    with pytest.raises(TilewrightError, match=r"pip install 'spatialdata>=0\.7\.2'") as caught:
        spatialdata.open_spatialdata(path)
    assert caught.value.code == 69


@pytest.mark.parametrize("kind", ["missing", "empty folder", "a file", "another zarr"])
def test_what_is_not_our_store_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.zarr"
    if kind == "empty folder":
        path.mkdir()
    elif kind == "a file":
        path.touch()
    elif kind == "another zarr":
        path.mkdir()
        (path / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    with pytest.raises(TilewrightError, match=r"x\.zarr: this isn't a store") as caught:
        spatialdata.open_spatialdata(path)
    assert caught.value.code == 65


@pytest.fixture(scope="session")
def spatialdata_python() -> Path:
    """A Python with the extra, built once per list of requirements in the cache folder."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.fail("uv isn't on the PATH: it builds SpatialData's environment")
    export = [uv, "export", "--extra", "spatialdata", "--no-dev", "--frozen", "--no-emit-project"]
    wanted = subprocess.run(export, cwd=REPOSITORY, capture_output=True, check=True).stdout
    home = Path(os.environ.get("TILEWRIGHT_HOME", Path.home() / ".cache" / "tilewright"))
    prefix = home / "envs" / "spatialdata-test"
    marker = prefix / "requirements.sha256"
    digest = hashlib.sha256(wanted).hexdigest()
    if not marker.exists() or marker.read_text() != digest:
        subprocess.run([uv, "venv", "--clear", "--python", sys.executable, prefix], check=True)
        (prefix / "requirements.txt").write_bytes(wanted)
        install = [uv, "pip", "install", "--python", prefix, "-r", prefix / "requirements.txt"]
        subprocess.run(install, check=True, timeout=900)
        marker.write_text(digest)
    return prefix / "bin" / "python"


def opened(python: Path, path: Path, time: int = 0, code: str = OPEN) -> dict[str, list]:
    run = subprocess.run(
        [python, "-W", "ignore", "-c", code, path, str(time)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "src")},
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


TILES = """
import json, sys
import numpy as np
from tilewright.export.elements import open_spatialdata

data = open_spatialdata(sys.argv[1])
table = data.tables["embed_table"]
print(json.dumps({
    "images": {n: [*i.shape] for n, i in data.images.items()},
    "mean": float(data.images["dense"].mean().compute()),
    "vectors": np.asarray(table.X).tolist(),
    "places": np.asarray(table.obsm["spatial"]).tolist(),
}))
"""


@pytest.mark.slow
def test_spatialdata_opens_maps_and_a_table_of_tiles(
    tmp_path: Path, spatialdata_python: Path
) -> None:
    x, places = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([[8.0, 8.0], [24.0, 8.0]])
    with StoreWriter(tmp_path / "s.zarr") as writer:
        put(writer, "maps/dense", np.full((3, 16, 32), 2, np.float32), "cyx", "mean")
        obs = {"tile": np.arange(2)}
        names, var = np.array(["0", "1"]), ("cls_0", "cls_1", "cls_2")
        writer.vectors("embed", Vectors(obs, names, lambda: [x], var, places, {}, {}))
        writer.finish({"recipe": {}})
    found = opened(spatialdata_python, tmp_path / "s.zarr", code=TILES)
    assert found["images"] == {"dense": [3, 16, 32]}
    assert found["mean"] == 2
    assert (found["vectors"], found["places"]) == (x.tolist(), places.tolist())


NONE = """
import json, sys
from tilewright.export.elements import open_spatialdata

data = open_spatialdata(sys.argv[1], time=int(sys.argv[2]))
print(json.dumps({"labels": list(data.labels), "rows": [data.tables["nuclei_table"].n_obs]}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("time", [0, 1])
def test_spatialdata_opens_a_store_or_time_point_without_objects(
    tmp_path: Path, spatialdata_python: Path, time: int
) -> None:
    labels = two_nuclei(times=2)
    labels[time] = 0
    path = store_of(tmp_path / "s.zarr", labels if time else labels[:1], image=False)
    found = opened(spatialdata_python, path, time, code=NONE)
    assert found == {"labels": ["nuclei"], "rows": [0]}


@pytest.mark.slow
@pytest.mark.parametrize("image", [True, False], ids=["with image", "without"])
def test_spatialdata_opens_a_store_and_finds_our_centroids(
    tmp_path: Path, spatialdata_python: Path, image: bool
) -> None:
    path = store_of(tmp_path / "s.zarr", two_nuclei(), image=image)
    found = opened(spatialdata_python, path)
    assert found["images"] == ({"image": [[2, 600, 700], [2, 300, 350]]} if image else {})
    assert found["channels"] == (["DAPI", "GFP"] if image else [])
    assert found["labels"] == [[600, 700], [300, 350]]
    assert found["lazy"]
    assert found["table"] == [1, 2]
    um = [[(3 + 3.5) * 0.5, (5 + 14.5) * 0.25], [(3 + 510) * 0.5, (5 + 31) * 0.25]]
    assert np.array(found["centroids"]) == pytest.approx(np.array(um))


@pytest.mark.slow
def test_spatialdata_gets_one_time_point_and_its_rows(
    tmp_path: Path, spatialdata_python: Path
) -> None:
    path = store_of(tmp_path / "s.zarr", two_nuclei(times=3), image=False)
    found = opened(spatialdata_python, path, time=1)
    assert found["present"] == [0, 3, 4]
    assert found["table"] == [3, 4]


@pytest.mark.slow
def test_spatialdata_opens_a_volume_whose_slices_are_halved_later(
    tmp_path: Path, spatialdata_python: Path
) -> None:
    """257³ pixels of 0.5 x 0.25 µm in slices of 0.5 µm: level 1 halves y and x only."""
    labels = np.zeros((257, 257, 257), np.uint8)
    labels[3:6, 10:21, 30:33], labels[40:41, 200:210, 7:30] = 1, 2
    place = Placement(origin=(3, 5), mpp=(0.5, 0.25), z_um=0.5)
    measure = Measure(2, volumes=True)
    with StoreWriter(tmp_path / "s.zarr") as writer:
        pyramid = writer.pyramid(
            "labels/nuclei", labels.shape, labels.dtype,
            axes="zyx", method="nearest", placement=place, deep=True,
        )  # fmt: skip
        for box in pyramid.blocks():
            pyramid.write(box, labels[box])
            measure.include(measure.part(labels[box], None, [s.start for s in box]))
        pyramid.build()
        table = measure.table(place)
        writer.table("nuclei", table)
        writer.finish({"recipe": {}})
    code = OPEN.replace('[["y", "x"]]', '[["z", "y", "x"]]')
    found = opened(spatialdata_python, tmp_path / "s.zarr", code=code)
    assert found["labels"] == [[257, 257, 257], [257, 129, 129]]
    assert found["table"] == [1, 2]
    um = [table.obs[f"centroid_{a}_um"][:] for a in "zyx"]
    assert np.array(found["centroids"]) == pytest.approx(np.stack(um, axis=1))
