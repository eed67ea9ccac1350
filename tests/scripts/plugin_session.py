"""The plugin as it is, without a screen: does what a list of steps says, and tells what it showed.

Runs in the plugin's own environment: `plugin_session.py CHECKOUT WORK STEPS.json RESULTS.json`.
A full napari.Viewer needs OpenGL; the plugin takes a ViewerModel as well.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ["QT_QPA_PLATFORM"] = "offscreen"
os.environ["AIOD_NXF_REPO"] = sys.argv[1]

import numpy as np
from napari.components import ViewerModel
from npe2 import PluginManager
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QApplication

SLOTS = []  # what was raised in a slot: the plugin shows nothing of it
sys.excepthook = lambda *error: SLOTS.append(repr(error[1]))


def wait(seconds, **signals):
    """The first of the signals that comes, or None."""
    loop, came = QEventLoop(), []
    slots = [(s, lambda *_, n=n: (came.append(n), loop.quit())) for n, s in signals.items()]
    for signal, slot in slots:
        signal.connect(slot)
    QTimer.singleShot(int(1000 * seconds), loop.quit)
    loop.exec()
    for signal, slot in slots:
        signal.disconnect(slot)
    return came[0] if came else None


class Session:
    """One viewer with the plugin's widget in it."""

    def __init__(self, work):
        manager = PluginManager.instance()
        manager.discover()
        manager.activate("aiod-napari")
        from aiod_napari.inference import Inference

        self.work = work
        self.viewer = ViewerModel()
        self.widget = Inference(self.viewer)
        self.widget.store_settings = lambda: None
        names = ("model", "data", "preprocess", "nxf")
        self.model, self.data, self.preprocess, self.nxf = map(self.widget.subwidgets.get, names)
        self.nxf.setup_nxf_dir_cmd(base_dir=work / "aiod")
        self.first = None

    def open(self, images):
        """Show images and choose them."""
        paths = [Path(p) for p in images]
        self.data.update_file_count(paths=paths)
        self.data.view_images(imgs_to_load=paths)
        assert wait(120, ok=self.data.images_loaded) == "ok", SLOTS
        return {"profiles": [self.nxf.nxf_profile_box.itemText(0)]}

    def choose(self, task="Cytoplasm", model="Cellpose", version="cyto3"):
        """Choose a model."""
        for box, said, done in (
            (self.model.task_dropdown, task, self.model.on_task_select),
            (self.model.model_dropdown, model, self.model.on_model_select),
            (self.model.model_version_dropdown, version, self.model.on_model_version_select),
        ):
            box.setCurrentText(said)
            done()
            assert box.currentText() == said, (box.currentText(), said)
        return {}

    def sets(self, names):
        """Add a preprocessing set of these steps by their defaults; an empty one is none."""
        if not names:
            self.preprocess.on_click_no_preprocess()
            return {}
        for name in names:
            self.preprocess.preprocess_boxes[name]["box"].setChecked(True)
            self.preprocess.on_click_preprocess(name)()
        self.preprocess.on_click_preprocess_save()
        return {}

    def settings(self, tiles=(0, 0, 0), overlap=(0, 0, 0), output="rle", kind="auto", **more):
        """Set the pipeline's options: tiles and overlap along height, width and depth."""
        for axis, count, share in zip("xyz", tiles, overlap, strict=True):  # its X is the height
            getattr(self.nxf, f"tile_{axis}").setValue(count)
            getattr(self.nxf, f"overlap_{axis}").setValue(share)
        self.nxf.nxf_profile_box.setCurrentText(more.get("profile", "local"))
        self.nxf.output_format_box.setCurrentText(output)
        self.nxf.output_mask_type_box.setCurrentText(kind)
        self.nxf.overwrite_btn.setChecked(more.get("overwrite", False))
        self.nxf.postprocess_btn.setChecked(more.get("relabel", False))
        return {}

    def run(self, seconds=240, cancel=None, keep=None):
        """Click; what came of it, after the plugin's last look for previews."""
        self.nxf.nxf_params, self.first = None, None
        begun = time.monotonic()
        looked = self.widget.update_masks

        def look(files):
            looked(files)
            if self.first is None and sum(self.nxf.progress_dict.values()):
                self.first = time.monotonic() - begun

        self.widget.update_masks = look
        if cancel == "first":  # when the first preview is there
            self.nxf.pbar.valueChanged.connect(lambda n: n and self.nxf.cancel_pipeline())
        elif cancel is not None:
            QTimer.singleShot(int(1000 * cancel), self.nxf.cancel_pipeline)
        self.nxf.run_pipeline()
        if self.nxf.nxf_params is None:  # all masks are there
            return {"ended": None, **self.seen(keep)}
        nxf = self.nxf
        ended = wait(seconds, finished=nxf.pipeline_finished, failed=nxf.pipeline_failed)
        took = time.monotonic() - begun
        watching = self.widget.watcher_enabled
        self.widget.watcher_enabled = False
        wait(3)
        self.widget.update_masks = looked
        return {
            "ended": ended,
            "first": self.first,
            "took": took,
            "watching": watching,
            **self.seen(keep),
        }

    def seen(self, keep):
        """Everything that a user sees, and what lies in the mask folder."""
        found = [x for x in self.viewer.layers if type(x).__name__ == "Labels"]
        for number, layer in enumerate(found if keep else ()):
            np.save(self.work / f"{keep}-{number}.npy", np.asarray(layer.data))
        folder = self.nxf.mask_dir_path
        return {
            "layers": {
                x.name: [list(x.data.shape), int(x.data.max()), list(map(float, x.scale))]
                for x in found
            },
            "exact": self.nxf.substacks_exact,
            "progress": sum(self.nxf.progress_dict.values()),
            "total": self.nxf.total_substacks,
            "bar": self.nxf.pbar.value(),
            "files": sorted(p.name for p in folder.iterdir()) if folder.is_dir() else [],
            "hash": self.widget.run_hash,
            "masks": str(folder),
        }

    def settle(self, seconds=120):
        """Wait until no process is left that works for the plugin's folder; what is there then."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.busy():
            wait(1)
        return {"busy": self.busy(), **self.seen(None)}

    def busy(self):
        """Command lines that name the plugin's folder."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().decode(errors="replace").replace("\0", " ")
            except OSError:
                continue
            if str(self.work / "aiod") in words:
                found.append(words)
        return found

    def damage(self, path):
        """Spoil what is in the midst of a file."""
        with Path(path).open("r+b") as file:
            file.seek(Path(path).stat().st_size // 3)
            file.write(bytes(5000))
        return {}

    def crashed(self, image):
        """Leave what a run leaves that was killed: a preview, and the folder that it came from."""
        from aiod_utils import rle

        name = f"{image}_masks_{self.widget.run_hash}_x0-9_y0-9_z0-1.rle"
        rle.save_encoding(
            rle.encode(np.eye(9, dtype=np.uint8), "instance"), self.nxf.mask_dir_path / name
        )
        (self.nxf.nxf_store_dir / "splits" / f".tiles-{self.widget.run_hash}").mkdir()
        return {}

    def forget(self):
        """Close all mask layers."""
        for layer in [x for x in self.viewer.layers if type(x).__name__ == "Labels"]:
            self.viewer.layers.remove(layer)
        return {}


def main(work, steps, results):
    """Do the steps in order; each is its name and what it takes."""
    app = QApplication([])
    session, told = Session(work), []
    for name, options in json.loads(steps.read_text()):
        try:
            told.append(getattr(session, name)(**options))
        except Exception as error:  # noqa: BLE001 - the hook would hide it
            sys.exit(f"{name} {options}: {error!r} {SLOTS}")
        told[-1]["slots"] = SLOTS.copy()
        SLOTS.clear()
    results.write_text(json.dumps(told))
    app.processEvents()
    os._exit(0)  # threads of the plugin may still look for files


if __name__ == "__main__":
    main(*(Path(a).resolve() for a in sys.argv[2:]))
